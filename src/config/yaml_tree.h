// yaml_tree.h: a YAML document as a tree with places. Refused: anchors, aliases, tags, several documents, keys that are no
// scalars, and a key twice in one mapping, each with its place.
#ifndef CONFIG_YAML_TREE_H
#define CONFIG_YAML_TREE_H

#include "config/arena.h"
#include "config/problems.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	const char *key;       // in a mapping
	const char *key_place; // "FILE:LINE:COLUMN" of the key
	const char *place;     // of the value
	const char *text;      // of a scalar
	bool empty;            // nothing was written (also ~ and null)
	struct yaml_node *first, *last, *next;
	size_t count;
};

// The document's root, NULL if it is empty or cannot be read (then problems has an entry more). `file` names it.
struct yaml_node *yaml_tree_read(
	struct arena *arena, const char *file, struct meow_bytes text, struct problems *problems);

#endif
