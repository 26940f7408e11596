// kafka_record.c: the checkpoint record as JSON, by hand one way and by yajl the other.
#include "connectors/kafka/kafka_record.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

static void put_number(struct buffer *text, const char *before, int64_t number)
{
	buffer_put_text(text, before);
	buffer_put_int(text, number);
}

void kafka_record_key(const struct kafka_record *record, struct buffer *key)
{
	put_number(key, "{\"partition\":", record->partition);
	put_number(key, ",\"generation\":", record->generation);
	buffer_put_char(key, '}');
}

void kafka_record_value(const struct kafka_record *record, struct buffer *value)
{
	put_number(value, "{\"delivered\":", record->delivered);
	buffer_put_text(value, ",\"fingerprint\":");
	if (record->fingerprint != NULL)
		buffer_put_json(value, bytes_of(record->fingerprint));
	else
		buffer_put_text(value, "null");
	put_number(value, ",\"epoch\":", record->epoch);
	put_number(value, ",\"layout\":", record->layout);
	buffer_put_char(value, '}');
}

// NULL if it is no JSON object, or, with errno ENOMEM, if memory was missing to tell (yajl says nothing of it, but does
// nothing behind the malloc that failed that would change errno). yajl wants a text that ends in NUL.
static yajl_val parse(struct meow_bytes bytes)
{
	char *text = bytes.data == NULL ? NULL : strndup(bytes.data, bytes.size);
	yajl_val tree = text == NULL ? NULL : yajl_tree_parse(text, NULL, 0);
	free(text);
	if (tree == NULL || YAJL_IS_OBJECT(tree))
		return tree;
	yajl_tree_free(tree);
	return NULL;
}

static bool get_number(yajl_val tree, const char *name, int64_t *ret_number)
{
	const char *path[] = {name, NULL};
	yajl_val number = yajl_tree_get(tree, path, yajl_t_number);
	if (number == NULL || !YAJL_IS_INTEGER(number) || YAJL_GET_INTEGER(number) < 0)
		return false;
	*ret_number = YAJL_GET_INTEGER(number);
	return true;
}

static bool get_fingerprint(yajl_val tree, char **ret_text)
{
	const char *path[] = {"fingerprint", NULL};
	yajl_val member = yajl_tree_get(tree, path, yajl_t_any);
	if (member == NULL || !(YAJL_IS_STRING(member) || YAJL_IS_NULL(member)))
		return false;
	*ret_text = YAJL_IS_STRING(member) ? strdup(member->u.string) : NULL;
	return YAJL_IS_NULL(member) || *ret_text != NULL;
}

static bool parse_key(struct meow_bytes key, struct kafka_record *record)
{
	yajl_val tree = parse(key);
	bool ok = tree != NULL && get_number(tree, "partition", &record->partition) &&
			  get_number(tree, "generation", &record->generation);
	yajl_tree_free(tree);
	return ok;
}

static bool parse_value(struct meow_bytes value, struct kafka_record *record)
{
	yajl_val tree = parse(value);
	bool ok = tree != NULL && get_number(tree, "delivered", &record->delivered) &&
			  get_number(tree, "epoch", &record->epoch) && get_number(tree, "layout", &record->layout) &&
			  get_fingerprint(tree, &record->fingerprint);
	yajl_tree_free(tree);
	return ok;
}

bool kafka_record_parse(
	struct meow_bytes key, struct meow_bytes value, struct kafka_record *ret_record, const char **why)
{
	struct kafka_record record = {0};
	errno = 0;
	*why = "its key has no partition and generation";
	bool ok = parse_key(key, &record);
	if (ok) {
		*why = "its value has no delivered, fingerprint, epoch and layout";
		ok = parse_value(value, &record);
	}
	if (ok)
		*ret_record = record;
	else if (errno == ENOMEM)
		*why = NULL;
	return ok;
}
