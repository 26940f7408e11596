// Connecting: what each failure is called, that no password is ever shown, a standby, and a pooler.
#include "database.h"

#include "store/postgres/pg.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server *server;

static int start_server(void **state)
{
	(void)state;
	char path[128], setting[160];
	snprintf(path, sizeof(path), "%s/hba.conf", scratch_folder());
	FILE *hba = fopen(path, "w");
	assert_non_null(hba);
	fputs("host all refused 127.0.0.1/32 reject\nhost all careful 127.0.0.1/32 scram-sha-256\n"
		  "host nowhere all 127.0.0.1/32 trust\nhost test,postgres all 127.0.0.1/32 trust\n",
		hba);
	fclose(hba);
	snprintf(setting, sizeof(setting), "hba_file=%s", path);
	server = server_start("postgres", "fsync=off", "log_min_messages=fatal", setting, NULL);
	PGconn *conn = sql_open(server_url(server));
	sql_run(conn, "CREATE DATABASE test");
	sql_run(conn, "CREATE ROLE careful LOGIN PASSWORD 'sesame'; CREATE ROLE refused LOGIN; CREATE ROLE nologin");
	PQfinish(conn);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	server_destroy(server);
	return 0;
}

static const char *url_of(const char *user, const char *database)
{
	static char url[200];
	snprintf(url, sizeof(url), "postgresql://%s@127.0.0.1:%u/%s", user, server_port(server), database);
	return url;
}

static void assert_cannot_open(const char *url, enum meow_error_kind kind, const char *words)
{
	struct meow_error err = {0};
	struct meow_store *store = meow_store_open(url, &err);
	assert_null(store);
	if (err.kind != kind)
		fail_msg("%s: kind %d, not %d: %s", url, err.kind, kind, err.text);
	assert_says(err, words);
	assert_null(strchr(err.text, '\n'));
	assert_null(strstr(err.text, "sesame"));
}

static void each_failure_has_its_kind_and_its_line(void **state)
{
	(void)state;
	char where[64], away[64];
	snprintf(where, sizeof(where), "PostgreSQL at 127.0.0.1:%u, database test: ", server_port(server));
	assert_cannot_open(url_of("careful:wrong", "test"), MEOW_DENIED, where);
	assert_cannot_open(url_of("careful:wrong", "test"), MEOW_DENIED, "password authentication failed");
	assert_cannot_open(url_of("careful", "test"), MEOW_DENIED, "password");
	assert_cannot_open(url_of("refused", "test"), MEOW_DENIED, "pg_hba.conf");
	assert_cannot_open(url_of("nologin", "test"), MEOW_DENIED, "not permitted to log in");
	assert_cannot_open(url_of("nobody", "test"), MEOW_DENIED, "\"nobody\" does not exist");
	assert_cannot_open(url_of("postgres", "nowhere"), MEOW_CONFIG, "\"nowhere\" does not exist");
	assert_cannot_open(url_of("postgres", "test"), MEOW_CONFIG, "meowmx setup");
	snprintf(away, sizeof(away), "postgresql://x:sesame@127.0.0.1:%u/test", free_port());
	assert_cannot_open(away, MEOW_UNAVAILABLE, "Connection refused");
	assert_cannot_open("postgresql://x:sesame@nowhere.invalid/test", MEOW_UNAVAILABLE, "nowhere.invalid");
}

// What a server says that is too busy to log anybody in within its authentication_timeout.
static void *give_up(void *arg)
{
	static const char answer[] = "E\0\0\0\x43SFATAL\0VFATAL\0C57014\0Mcanceling authentication due to timeout\0";
	char startup[1000];
	int client = accept(*(int *)arg, NULL, NULL);
	assert_true(read(client, startup, sizeof(startup)) > 0);
	assert_int_equal(write(client, answer, sizeof(answer)), sizeof(answer));
	close(client);
	return NULL;
}

static void a_server_that_gives_up_on_a_login_is_unavailable(void **state)
{
	(void)state;
	char url[100];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(pthread_create(&thread, NULL, give_up, &listener), 0);
	snprintf(url, sizeof(url), "postgresql://x@127.0.0.1:%u/test?sslmode=disable&gssencmode=disable",
		ntohs(address.sin_port));
	assert_cannot_open(url, MEOW_UNAVAILABLE, "canceling authentication due to timeout");
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(listener);
}

// libpq then says "invalid socket", which is not the url's fault.
static void a_connection_that_is_gone_is_unavailable(void **state)
{
	(void)state;
	const char *url = url_of("postgres", "test");
	PGconn *lost = sql_open(url);
	struct meow_error err;
	assert_int_equal(PQsendQuery(lost, "SELECT 1"), 1);
	assert_int_equal(shutdown(PQsocket(lost), SHUT_RDWR), 0);
	while (PQconsumeInput(lost) == 1) {
	}
	PQclear(PQgetResult(lost)); // waits for a socket that it has closed
	assert_false(pg_connection_error(lost, url, &err));
	assert_int_equal(err.kind, MEOW_UNAVAILABLE);
	assert_null(strstr(err.text, "correct the store's url"));
	PQfinish(lost);
}

static void a_url_that_is_wrong_shows_no_password(void **state)
{
	(void)state;
	assert_cannot_open("mysql://me:sesame@host/shop", MEOW_CONFIG, "\"mysql://\"");
	assert_cannot_open("me:sesame@host", MEOW_CONFIG, "give postgresql://");
	assert_cannot_open("postgresql://me:ses%zz@host/shop", MEOW_CONFIG, "percent-encoded");
	assert_cannot_open("postgresql://me:sesame@[::1/shop", MEOW_CONFIG, "IPv6");
	assert_cannot_open("postgresql://me:sesame@host:1x/shop", MEOW_CONFIG, "port");
	assert_cannot_open("host=127.0.0.1 password=open sesame", MEOW_CONFIG, "missing");
	assert_cannot_open("postgresql://me:sesame@host/shop?tpyo=1", MEOW_CONFIG, "tpyo");
	assert_cannot_open("host=127.0.0.1 tpyo=1", MEOW_CONFIG, "tpyo");
	struct session_source source;
	struct meow_error err;
	assert_fails(store_source_init(&source, "mysql://me:sesame@host/shop", &err), err, MEOW_CONFIG);
}

static void libpq_variables_name_the_store_when_the_url_is_empty(void **state)
{
	(void)state;
	char port[16];
	struct meow_error err;
	snprintf(port, sizeof(port), "%u", server_port(server));
	setenv("PGHOST", "127.0.0.1", 1);
	setenv("PGPORT", port, 1);
	setenv("PGUSER", "careful", 1);
	setenv("PGDATABASE", "test", 1);
	setenv("PGPASSWORD", "wrong sesame", 1);
	assert_cannot_open("", MEOW_DENIED, "password");
	setenv("PGPASSWORD", "sesame", 1);
	assert_cannot_open("", MEOW_CONFIG, "meowmx setup");
	PGconn *conn = sql_open(url_of("postgres", "test"));
	sql_run(conn, "GRANT CREATE ON SCHEMA public TO careful");
	assert_ok(meow_setup("", NULL, NULL, NULL, &err), err);
	struct meow_store *store = meow_store_open(NULL, &err);
	assert_non_null(store);
	sql_assert_text(conn, "meowmx", "SELECT application_name FROM pg_stat_activity WHERE usename = 'careful'");
	meow_store_close(store);
	store = meow_store_open("host=127.0.0.1 application_name=shop", &err);
	assert_non_null(store);
	sql_assert_text(conn, "shop",
		"SELECT application_name FROM pg_stat_activity WHERE usename = 'careful' "
		"AND application_name <> 'meowmx'");
	meow_store_close(store);
	unsetenv("PGHOST");
	unsetenv("PGPORT");
	unsetenv("PGUSER");
	unsetenv("PGDATABASE");
	unsetenv("PGPASSWORD");
	PQfinish(conn);
}

static void a_sequence_that_breaks_the_order_is_refused(void **state)
{
	(void)state;
	PGconn *conn = sql_open(url_of("postgres", "test"));
	database_setup(url_of("postgres", "test"));
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq CACHE 20");
	assert_cannot_open(url_of("postgres", "test"), MEOW_CONFIG, "CACHE 1");
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq CACHE 1");
	PQfinish(conn);
}

// A blocking connection is not told of new events: nobody would take that in.
static void a_store_does_not_listen(void **state)
{
	(void)state;
	database_setup(url_of("postgres", "test"));
	struct meow_store *store = store_open_or_fail(url_of("postgres", "test"));
	PGconn *conn = sql_open(url_of("postgres", "test"));
	sql_assert_text(conn, "0",
		"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN meowmx' AND pid <> "
		"pg_backend_pid()");
	PQfinish(conn);
	meow_store_close(store);
}

static void a_standby_is_denied(void **state)
{
	(void)state;
	char path[256];
	struct meow_error err;
	PGconn *conn = sql_open(url_of("postgres", "test"));
	database_setup(url_of("postgres", "test"));
	char *folder = sql_text(conn, "SHOW data_directory");
	PQfinish(conn);
	server_stop(server);
	snprintf(path, sizeof(path), "%s/standby.signal", folder);
	FILE *signal = fopen(path, "w");
	assert_non_null(signal);
	fclose(signal);
	server_again(server);
	assert_cannot_open(url_of("postgres", "test"), MEOW_DENIED, "read-only standby");
	assert_fails(meow_setup(url_of("postgres", "test"), NULL, NULL, NULL, &err), err, MEOW_DENIED);
	assert_says(err, "read-only standby");
	server_stop(server);
	assert_int_equal(unlink(path), 0);
	server_again(server);
	meow_store_close(store_open_or_fail(url_of("postgres", "test")));
	free(folder);
}

static void a_pooler_is_noticed_and_works(void **state)
{
	(void)state;
	char target[220];
	struct meow_error err;
	struct store_status status;
	database_setup(url_of("postgres", "test"));
	snprintf(target, sizeof(target), "target=%s", url_of("postgres", "test"));
	struct server *pooler = server_start("pgbouncer", target, "default_pool_size=2", NULL);
	char url[128];
	snprintf(url, sizeof(url), "postgresql://postgres@127.0.0.1:%u/test", server_port(pooler));
	struct meow_store *stores[3];
	for (int i = 0; i < 3; i++)
		stores[i] = store_open_or_fail(url);
	assert_ok(store_status(stores[0], &status, &err), err);
	assert_true(status.info.pooled);
	const char *id = new_uuid();
	for (int i = 0; i < 30; i++)
		append_or_fail(stores[i % 3], "pooled", id, i - 1, "{}");
	struct meow_query query = {.aggregate_type = "pooled", .from = INT64_MIN, .to = INT64_MAX};
	struct meow_cursor *cursor = meow_load(stores[1], &query, &err);
	if (!cursor)
		fail_msg("%s", err.text);
	struct meow_event event;
	bool found = true;
	int count = -1;
	while (found) {
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		count++;
	}
	assert_int_equal(count, 30);
	meow_cursor_close(cursor);
	for (int i = 0; i < 3; i++)
		meow_store_close(stores[i]);
	assert_fails(meow_setup(url, NULL, NULL, NULL, &err), err, MEOW_CONFIG);
	assert_says(err, "pooler");
	server_destroy(pooler);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failure_has_its_kind_and_its_line),
		cmocka_unit_test(a_server_that_gives_up_on_a_login_is_unavailable),
		cmocka_unit_test(a_connection_that_is_gone_is_unavailable),
		cmocka_unit_test(a_url_that_is_wrong_shows_no_password),
		cmocka_unit_test(libpq_variables_name_the_store_when_the_url_is_empty),
		cmocka_unit_test(a_sequence_that_breaks_the_order_is_refused),
		cmocka_unit_test(a_store_does_not_listen),
		cmocka_unit_test(a_standby_is_denied),
		cmocka_unit_test(a_pooler_is_noticed_and_works),
	};
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
