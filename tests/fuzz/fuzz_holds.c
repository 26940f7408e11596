// The aggregates that dead letters hold, as a checkpoint tells them: any text is read or refused; and one that is made of
// the input's lines (position, type, id, ...) holds just these.
#include "fuzz.h"

#include "base/text.h"
#include "relay/holds.h"

#include <stdlib.h>
#include <string.h>

#define MOST 8

static void put_piece(struct buffer *out, const char *text)
{
	buffer_put_int(out, (int64_t)strlen(text));
	buffer_put_char(out, ':');
	buffer_put_text(out, text);
}

static void check_written(struct meow_bytes input)
{
	struct buffer text;
	struct holds holds = {0};
	char *types[MOST], *ids[MOST];
	size_t count = 0;
	buffer_init(&text);
	for (; input.size > 0 && count < MOST; count++) {
		types[count] = fuzz_text(fuzz_line(&input));
		ids[count] = fuzz_text(fuzz_line(&input));
		buffer_put_int(&text, (int64_t)count + 1);
		buffer_put_text(&text, ":0:");
		put_piece(&text, types[count]);
		put_piece(&text, ids[count]);
	}
	FUZZ_CHECK(holds_read(&holds, text.data) && holds.count <= count);
	for (size_t i = 0; i < count; i++) {
		FUZZ_CHECK(holds_has(&holds, bytes_of(types[i]), bytes_of(ids[i]), (int64_t)i + 1));
		FUZZ_CHECK(!holds_has(&holds, bytes_of(types[i]), bytes_of(ids[i]), 0));
		free(types[i]);
		free(ids[i]);
	}
	holds_finish(&holds);
	buffer_finish(&text);
}

void fuzz_holds(struct meow_bytes input)
{
	struct holds holds = {0};
	char *text = fuzz_text(input);
	if (holds_read(&holds, text))
		FUZZ_CHECK((holds.count > 0) == (*text != '\0'));
	holds_finish(&holds);
	free(text);
	check_written(input);
}
