// Each direction of each connection has a thread that reads and writes in turn, so that neither direction ever waits for
// the other. A connection is closed by shutting its sockets down, which ends both threads; the last one out frees it.
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 30
#define DRIP_US 100         // between two bytes
#define LATE_ANSWER_MS 5000 // how long the answer to what was delivered late is waited for

struct connection {
	struct proxy *proxy;
	int client, server;
	int threads;
	unsigned closed; // the ways that were half-closed: what comes there is dropped
	bool faulty;     // its replies are dropped
	bool answered;   // to a request that was delivered late
	bool late_sent;
	enum proxy_fault fault;
	struct connection *next;
};

struct proxy {
	int listener;
	uint16_t port, target;
	pthread_t acceptor;
	pthread_mutex_t lock; // of everything below
	pthread_cond_t changed;
	struct connection *connections;
	bool refuse, stopping, drip;
	unsigned stalled; // ways
	int delay_ms, late_ms;
	bool armed, happened;
	enum proxy_fault fault;
	char mark[64];
	proxy_match *is_it;
	char *kept;
	size_t kept_size;
};

struct direction {
	struct connection *connection;
	int from, to;
	bool request;
};

enum verdict { PASS, DROP, LATER };

static void give_up(const char *what)
{
	fprintf(stderr, "tests/support: proxy: %s\n", what);
	exit(1);
}

static void shut(struct connection *connection)
{
	shutdown(connection->client, SHUT_RDWR);
	shutdown(connection->server, SHUT_RDWR);
}

static void happen(struct proxy *proxy)
{
	proxy->happened = true;
	pthread_cond_broadcast(&proxy->changed);
}

static void keep(struct proxy *proxy, const char *bytes, size_t size)
{
	free(proxy->kept);
	proxy->kept = malloc(size);
	if (!proxy->kept)
		give_up("out of memory");
	memcpy(proxy->kept, bytes, size);
	proxy->kept_size = size;
	happen(proxy);
}

// With the lock held, as the next two.
static enum verdict judge_request(struct connection *connection, const char *bytes, size_t size)
{
	struct proxy *proxy = connection->proxy;
	if (connection->faulty && connection->fault == PROXY_KEEP)
		return DROP;
	if (!proxy->armed || (proxy->is_it && !proxy->is_it(bytes, size)) ||
		(*proxy->mark && !memmem(bytes, size, proxy->mark, strlen(proxy->mark))))
		return PASS;
	proxy->armed = false;
	if (proxy->fault == PROXY_CUT_BEFORE) {
		shut(connection);
		happen(proxy);
		return DROP;
	}
	connection->faulty = true;
	connection->fault = proxy->fault;
	if (proxy->fault == PROXY_KEEP)
		keep(proxy, bytes, size);
	return proxy->fault == PROXY_LATE ? LATER : proxy->fault == PROXY_KEEP ? DROP : PASS;
}

static enum verdict judge_reply(struct connection *connection)
{
	if (!connection->faulty)
		return PASS;
	if (connection->fault == PROXY_CUT_AFTER)
		shut(connection);
	connection->answered = connection->late_sent;
	if (connection->fault != PROXY_LATE || connection->answered)
		happen(connection->proxy);
	return DROP;
}

static unsigned way_of(const struct direction *direction)
{
	return direction->request ? PROXY_REQUESTS : PROXY_REPLIES;
}

static struct timespec in_ms(int ms)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	return until;
}

static enum verdict judge(const struct direction *direction, const char *bytes, size_t size)
{
	struct connection *connection = direction->connection;
	struct proxy *proxy = connection->proxy;
	enum verdict verdict = DROP;
	pthread_mutex_lock(&proxy->lock);
	struct timespec until = in_ms(proxy->delay_ms);
	while (proxy->delay_ms && !proxy->stopping)
		if (pthread_cond_timedwait(&proxy->changed, &proxy->lock, &until) != 0)
			break;
	while (proxy->stalled & way_of(direction) && !proxy->stopping)
		pthread_cond_wait(&proxy->changed, &proxy->lock);
	if (!(connection->closed & way_of(direction)))
		verdict = direction->request ? judge_request(connection, bytes, size) : judge_reply(connection);
	pthread_mutex_unlock(&proxy->lock);
	return verdict;
}

static bool send_all(int to, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(to, bytes, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		bytes += sent;
		size -= (size_t)sent;
	}
	return true;
}

static bool drips(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	bool drip = proxy->drip && !proxy->stopping;
	pthread_mutex_unlock(&proxy->lock);
	return drip;
}

static bool pass_on(const struct direction *direction, const char *bytes, size_t size)
{
	while (size > 1 && drips(direction->connection->proxy)) {
		if (!send_all(direction->to, bytes, 1))
			return false;
		bytes++;
		size--;
		usleep(DRIP_US);
	}
	return send_all(direction->to, bytes, size);
}

// The client is told that its connection is gone; the server gets the request after a while, and answers to nobody.
static void deliver_late(const struct direction *direction, const char *bytes, size_t size)
{
	struct connection *connection = direction->connection;
	struct proxy *proxy = connection->proxy;
	shutdown(connection->client, SHUT_RDWR);
	pthread_mutex_lock(&proxy->lock);
	struct timespec until = in_ms(proxy->late_ms);
	while (!proxy->stopping && pthread_cond_timedwait(&proxy->changed, &proxy->lock, &until) == 0) {
	}
	connection->late_sent = true;
	pthread_mutex_unlock(&proxy->lock);
	if (!send_all(connection->server, bytes, size))
		return;
	pthread_mutex_lock(&proxy->lock);
	until = in_ms(LATE_ANSWER_MS);
	while (!connection->answered && !proxy->stopping)
		if (pthread_cond_timedwait(&proxy->changed, &proxy->lock, &until) != 0)
			break;
	happen(proxy);
	pthread_mutex_unlock(&proxy->lock);
}

static void leave(struct connection *connection)
{
	struct proxy *proxy = connection->proxy;
	pthread_mutex_lock(&proxy->lock);
	shut(connection);
	if (--connection->threads == 0) {
		struct connection **link = &proxy->connections;
		while (*link != connection)
			link = &(*link)->next;
		*link = connection->next;
		close(connection->client);
		close(connection->server);
		free(connection);
		pthread_cond_broadcast(&proxy->changed);
	}
	pthread_mutex_unlock(&proxy->lock);
}

static void *pump(void *arg)
{
	struct direction direction = *(struct direction *)arg;
	free(arg);
	char bytes[16384];
	for (;;) {
		ssize_t size = recv(direction.from, bytes, sizeof(bytes), 0);
		enum verdict verdict = size > 0 ? judge(&direction, bytes, (size_t)size) : DROP;
		if (verdict == LATER)
			deliver_late(&direction, bytes, (size_t)size);
		if (size <= 0 || verdict == LATER || (verdict == PASS && !pass_on(&direction, bytes, (size_t)size)))
			break;
	}
	leave(direction.connection);
	return NULL;
}

static void start_pump(struct connection *connection, bool request)
{
	struct direction *direction = malloc(sizeof(*direction));
	pthread_t thread;
	if (!direction)
		give_up("out of memory");
	*direction = (struct direction){connection, request ? connection->client : connection->server,
		request ? connection->server : connection->client, request};
	if (pthread_create(&thread, NULL, pump, direction) != 0 || pthread_detach(thread) != 0)
		give_up("no thread");
}

static struct sockaddr_in address_of(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

// A connection to the server, -1 if it does not listen.
static int reach(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	struct sockaddr_in address = address_of(proxy->target);
	pthread_mutex_unlock(&proxy->lock);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0)
		give_up("no socket");
	if (connect(server, (struct sockaddr *)&address, sizeof(address)) == 0)
		return server;
	close(server);
	return -1;
}

// Takes the client's socket. A target that does not listen closes it, as it would have done itself.
static void serve(struct proxy *proxy, int client)
{
	int server = reach(proxy), on = 1;
	struct connection *connection = calloc(1, sizeof(*connection));
	if (!connection)
		give_up("out of memory");
	if (server < 0) {
		close(client);
		free(connection);
		return;
	}
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*connection = (struct connection){.proxy = proxy, .client = client, .server = server, .threads = 2};
	pthread_mutex_lock(&proxy->lock);
	connection->next = proxy->connections;
	proxy->connections = connection;
	if (proxy->stopping)
		shut(connection);
	pthread_mutex_unlock(&proxy->lock);
	start_pump(connection, true);
	start_pump(connection, false);
}

static void *accept_all(void *arg)
{
	struct proxy *proxy = arg;
	for (;;) {
		int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0)
			return NULL; // proxy_stop has shut the listener down
		pthread_mutex_lock(&proxy->lock);
		bool refuse = proxy->refuse || proxy->stopping;
		pthread_mutex_unlock(&proxy->lock);
		if (refuse)
			close(client);
		else
			serve(proxy, client);
	}
}

struct proxy *proxy_start(uint16_t port)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	struct sockaddr_in address = address_of(0);
	socklen_t size = sizeof(address);
	if (!proxy)
		give_up("out of memory");
	proxy->target = port;
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (proxy->listener < 0 || bind(proxy->listener, (struct sockaddr *)&address, size) != 0 ||
		listen(proxy->listener, 64) != 0 || getsockname(proxy->listener, (struct sockaddr *)&address, &size) != 0)
		give_up("cannot listen");
	proxy->port = ntohs(address.sin_port);
	pthread_mutex_init(&proxy->lock, NULL);
	pthread_cond_init(&proxy->changed, NULL);
	if (pthread_create(&proxy->acceptor, NULL, accept_all, proxy) != 0)
		give_up("no thread");
	return proxy;
}

void proxy_target(struct proxy *proxy, uint16_t port)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->target = port;
	pthread_mutex_unlock(&proxy->lock);
}

uint16_t proxy_port(const struct proxy *proxy)
{
	return proxy->port;
}

void proxy_stop(struct proxy *proxy)
{
	if (!proxy)
		return;
	pthread_mutex_lock(&proxy->lock);
	proxy->stopping = true;
	pthread_cond_broadcast(&proxy->changed);
	pthread_mutex_unlock(&proxy->lock);
	shutdown(proxy->listener, SHUT_RDWR);
	pthread_join(proxy->acceptor, NULL);
	close(proxy->listener);
	pthread_mutex_lock(&proxy->lock);
	for (struct connection *connection = proxy->connections; connection; connection = connection->next)
		shut(connection);
	while (proxy->connections)
		pthread_cond_wait(&proxy->changed, &proxy->lock);
	pthread_mutex_unlock(&proxy->lock);
	pthread_cond_destroy(&proxy->changed);
	pthread_mutex_destroy(&proxy->lock);
	free(proxy->kept);
	free(proxy);
}

void proxy_refuse(struct proxy *proxy, bool refuse)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->refuse = refuse;
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_stall_ways(struct proxy *proxy, unsigned ways)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->stalled = ways;
	pthread_cond_broadcast(&proxy->changed);
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_stall(struct proxy *proxy, bool stall)
{
	proxy_stall_ways(proxy, stall ? PROXY_REQUESTS | PROXY_REPLIES : 0);
}

void proxy_delay(struct proxy *proxy, int ms)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->delay_ms = ms;
	pthread_cond_broadcast(&proxy->changed);
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_drip(struct proxy *proxy, bool drip)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->drip = drip;
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_half_close(struct proxy *proxy, unsigned ways)
{
	pthread_mutex_lock(&proxy->lock);
	for (struct connection *connection = proxy->connections; connection; connection = connection->next) {
		connection->closed |= ways;
		if (ways & PROXY_REQUESTS)
			shutdown(connection->server, SHUT_WR);
		if (ways & PROXY_REPLIES)
			shutdown(connection->client, SHUT_WR);
	}
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_cut(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	for (struct connection *connection = proxy->connections; connection; connection = connection->next)
		shut(connection);
	pthread_mutex_unlock(&proxy->lock);
}

static void arm(struct proxy *proxy, enum proxy_fault fault, const char *mark, proxy_match *is_it)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->armed = true;
	proxy->happened = false;
	proxy->fault = fault;
	proxy->is_it = is_it;
	if (snprintf(proxy->mark, sizeof(proxy->mark), "%s", mark ? mark : "") >= (int)sizeof(proxy->mark))
		give_up("the mark is too long");
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_disarm(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->armed = false;
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_arm(struct proxy *proxy, enum proxy_fault fault, const char *mark)
{
	arm(proxy, fault, mark, NULL);
}

void proxy_arm_match(struct proxy *proxy, enum proxy_fault fault, proxy_match *is_it)
{
	arm(proxy, fault, NULL, is_it);
}

void proxy_late(struct proxy *proxy, int ms)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->late_ms = ms;
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_deliver(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	char *bytes = proxy->kept;
	size_t size = proxy->kept_size;
	proxy->kept = NULL;
	pthread_mutex_unlock(&proxy->lock);
	char answer[1024];
	int server = bytes ? reach(proxy) : -1;
	if (server < 0 || !send_all(server, bytes, size) || recv(server, answer, sizeof(answer), 0) <= 0)
		give_up(bytes ? "the server did not answer what was kept" : "nothing was kept");
	close(server);
	free(bytes);
}

bool proxy_happened(struct proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	bool happened = proxy->happened;
	pthread_mutex_unlock(&proxy->lock);
	return happened;
}

void proxy_wait(struct proxy *proxy)
{
	struct timespec until = in_ms(1000 * WAIT_SECONDS);
	pthread_mutex_lock(&proxy->lock);
	while (!proxy->happened)
		if (pthread_cond_timedwait(&proxy->changed, &proxy->lock, &until) != 0)
			give_up("the fault did not come to pass");
	pthread_mutex_unlock(&proxy->lock);
}
