// suggest.c: optimal string alignment (Damerau-Levenshtein with adjacent transpositions), on bytes. A word counts as
// near when a third of it or less has to change.
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t rows[3][SUGGEST_LONGEST + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];
	for (size_t j = 0; j <= b_size; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		now[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		size_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b_size];
}

struct suggest suggest_start(const char *word)
{
	return (struct suggest){.word = word, .distance = (size_t)-1};
}

void suggest_try(struct suggest *suggest, const char *known)
{
	size_t word_size = strlen(suggest->word), known_size = strlen(known);
	if (word_size > SUGGEST_LONGEST || known_size > SUGGEST_LONGEST)
		return;
	size_t longer = word_size > known_size ? word_size : known_size;
	size_t near = longer < 4 ? 1 : longer / 3;
	size_t changes = distance(suggest->word, word_size, known, known_size);
	if (changes > near || changes >= suggest->distance || changes >= longer)
		return;
	memcpy(suggest->best, known, known_size + 1);
	suggest->distance = changes;
}

const char *suggest_text(const struct suggest *suggest, char ret_text[SUGGEST_TEXT_SIZE])
{
	ret_text[0] = '\0';
	if (suggest->best[0] != '\0')
		snprintf(ret_text, SUGGEST_TEXT_SIZE, "; did you mean \"%s\"?", suggest->best);
	return ret_text;
}
