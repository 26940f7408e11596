// json_text.h: what everybody who runs yajl over one JSON text needs: a check of its bytes, errors with columns, and the
// escapes that UTF-8 cannot hold. Inside src/relay.
#ifndef RELAY_JSON_TEXT_H
#define RELAY_JSON_TEXT_H

#include "base/buffer.h"

#include <yajl/yajl_parse.h>

// The column of the byte at `offset`, counted in characters from 1, as editors do.
size_t json_text_column(struct meow_bytes text, size_t offset);

// MEOW_INVALID with the column of the first raw NUL byte or the first byte that is not UTF-8.
MEOW_MUST_USE bool json_text_check(struct meow_bytes text, struct meow_error *err);

// Parses all of the text. When a callback of the handle cancels, that callback has filled err; any other failure fills
// it here: MEOW_INVALID with column and cause.
MEOW_MUST_USE bool json_text_parse(yajl_handle handle, struct meow_bytes text, struct meow_error *err);

// Where in the text (well-formed JSON) the first escape stands that is half of a surrogate pair without its other half:
// no UTF-8 text can hold it, and yajl would quietly put something else. text.size if there is none.
size_t json_text_lone_surrogate(struct meow_bytes text);

#endif
