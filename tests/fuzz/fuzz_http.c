// What the relay answers over HTTP, for any path, query and Accept header: a status, a type and a body that is of it.
#include "fuzz.h"

#include "base/text.h"
#include "relay/endpoint.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

static bool is_json(struct meow_bytes text)
{
	yajl_handle handle = yajl_alloc(NULL, NULL, NULL);
	bool good = yajl_parse(handle, (const unsigned char *)text.data, text.size) == yajl_status_ok &&
				yajl_complete_parse(handle) == yajl_status_ok;
	yajl_free(handle);
	return good;
}

void fuzz_http(struct meow_bytes input)
{
	struct endpoint endpoint = {0};
	struct http_reply reply = {.status = 200, .content_type = "text/plain; charset=utf-8"};
	char *path = fuzz_text(fuzz_line(&input));
	char *query = input.size > 0 ? fuzz_text(fuzz_line(&input)) : NULL;
	char *accept = input.size > 0 ? fuzz_text(input) : NULL;
	endpoint_answer(&endpoint, path, query, accept, &reply);
	FUZZ_CHECK(reply.status == 200 || reply.status == 404);
	FUZZ_CHECK(!reply.body.failed);
	if (strstr(reply.content_type, "json") != NULL)
		FUZZ_CHECK(is_json((struct meow_bytes){reply.body.data, reply.body.size}));
	buffer_finish(&reply.body);
	free(path);
	free(query);
	free(accept);
}
