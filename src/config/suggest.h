// suggest.h: "did you mean": the nearest of some known words, for settings, commands and options.
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

#define SUGGEST_LONGEST 48

struct suggest {
	const char *word;
	char best[SUGGEST_LONGEST + 1]; // empty while none is near enough
	size_t distance;
};

struct suggest suggest_start(const char *word);               // borrows
void suggest_try(struct suggest *suggest, const char *known); // copies

// "; did you mean \"best\"?", or nothing if none is near.
#define SUGGEST_TEXT_SIZE 80
const char *suggest_text(const struct suggest *suggest, char ret_text[SUGGEST_TEXT_SIZE]);

#endif
