// snapshot.c: snapshots as an application has them, for tests that are not in C.
//
//   snapshot URL save TYPE ID VERSION POSITION DATA
//   snapshot URL load TYPE ID VERSION       prints version, position and data of the newest that counts; nothing if none
#include "meowmx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct meow_error *err)
{
	fprintf(stderr, "snapshot: %s\n", err->text);
	return 1;
}

static bool save(struct meow_store *store, char **words, struct meow_error *err)
{
	const struct meow_snapshot snapshot = {
		.version = atoll(words[2]), .position = atoll(words[3]), .data = {words[4], strlen(words[4])}};
	return meow_snapshot_save(store, words[0], words[1], &snapshot, err);
}

static bool load(struct meow_store *store, char **words, struct meow_error *err)
{
	struct meow_snapshot *snapshot;
	if (!meow_snapshot_load(store, words[0], words[1], atoll(words[2]), &snapshot, err))
		return false;
	if (snapshot)
		printf("%lld %lld %s\n", (long long)snapshot->version, (long long)snapshot->position, snapshot->data.data);
	meow_snapshot_free(snapshot);
	return true;
}

int main(int argc, char **argv)
{
	struct meow_error err;
	bool saves = argc == 8 && strcmp(argv[2], "save") == 0, loads = argc == 6 && strcmp(argv[2], "load") == 0;
	if (!saves && !loads) {
		fprintf(stderr, "usage: snapshot URL save TYPE ID VERSION POSITION DATA | load TYPE ID VERSION\n");
		return 64;
	}
	struct meow_store *store = meow_store_open(argv[1], &err);
	if (!store)
		return fail(&err);
	bool ok = saves ? save(store, argv + 3, &err) : load(store, argv + 3, &err);
	meow_store_close(store);
	return ok ? 0 : fail(&err);
}
