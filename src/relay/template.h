// template.h: names of topics and streams over an event's attributes: "shop.{aggregate_type}". Attributes:
// {aggregate_type} {aggregate_id} {type} {partition} {generation}. "{{" and "}}" stand for one brace.
#ifndef RELAY_TEMPLATE_H
#define RELAY_TEMPLATE_H

#include "base/buffer.h"

struct template;

// MEOW_CONFIG names the column and the unknown attribute. The text is copied.
MEOW_MUST_USE struct template *template_create(const char *text, struct meow_error *err);
void template_destroy(struct template *template); // takes NULL

// Appends the name to out. Nothing is ever altered or escaped.
void template_put(const struct template *template, const struct meow_event *event, int partition, int64_t generation,
	struct buffer *out);

bool template_uses(const struct template *template, const char *attribute);
bool template_is_constant(const struct template *template); // the same name for every event

// 64 bits over what the event gives to the template, to look a name up in a cache without building it.
uint64_t template_hash(const struct template *template, const struct meow_event *event);

#endif
