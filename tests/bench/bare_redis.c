// bare_redis PGURL HOST PORT STREAM: the bare loop into a stream, pipelined XADD with five fields. Prints events and seconds.
#include "bare.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pipe {
	redisContext *redis;
	const char *stream;
	int64_t waiting;
};

static void drain(struct pipe *pipe)
{
	while (pipe->waiting) {
		redisReply *reply;
		if (redisGetReply(pipe->redis, (void **)&reply) != REDIS_OK)
			bare_fail("reply", pipe->redis->errstr);
		if (reply->type == REDIS_REPLY_ERROR)
			bare_fail("XADD", reply->str);
		freeReplyObject(reply);
		pipe->waiting--;
	}
}

static void publish(void *arg, const PGresult *page)
{
	struct pipe *pipe = arg;
	for (int row = 0; row < PQntuples(page); row++) {
		char id[32], version[16];
		int id_size = snprintf(id, sizeof(id), "%lld-0", (long long)bare_id(page, row));
		int version_size = snprintf(version, sizeof(version), "%d", (int)bare_version(page, row));
		const char *words[] = {"XADD", pipe->stream, id, "type", PQgetvalue(page, row, BARE_EVENT), "aggregate_type",
			PQgetvalue(page, row, BARE_TYPE), "aggregate_id", PQgetvalue(page, row, BARE_AGGREGATE), "version", version,
			"data", PQgetvalue(page, row, BARE_DATA)};
		const size_t sizes[] = {4, strlen(pipe->stream), (size_t)id_size, 4, (size_t)PQgetlength(page, row, BARE_EVENT),
			14, (size_t)PQgetlength(page, row, BARE_TYPE), 12, (size_t)PQgetlength(page, row, BARE_AGGREGATE), 7,
			(size_t)version_size, 4, (size_t)PQgetlength(page, row, BARE_DATA)};
		if (redisAppendCommandArgv(pipe->redis, 13, words, sizes) != REDIS_OK)
			bare_fail("XADD", pipe->redis->errstr);
		pipe->waiting++;
	}
	drain(pipe);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		bare_fail("usage", "bare_redis PGURL HOST PORT STREAM");
	struct pipe pipe = {.redis = redisConnect(argv[2], atoi(argv[3])), .stream = argv[4]};
	if (!pipe.redis || pipe.redis->err)
		bare_fail("redis", pipe.redis ? pipe.redis->errstr : "no memory");
	double began = bare_seconds();
	int64_t total = bare_read(argv[1], publish, &pipe);
	printf("%lld %.3f\n", (long long)total, bare_seconds() - began);
	redisFree(pipe.redis);
	return 0;
}
