// Prometheus text: each series once with its HELP and TYPE, then one line a route. Base units: seconds, bytes.
#include "metrics/metrics.h"

#include "base/error.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

const char *route_state_name(enum route_state state)
{
	switch (state) {
	case ROUTE_UNASSIGNED:
		return "UNASSIGNED";
	case ROUTE_RUNNING:
		return "RUNNING";
	case ROUTE_PAUSED:
		return "PAUSED";
	case ROUTE_STOPPED:
		return "STOPPED";
	case ROUTE_FAILED:
		return "FAILED";
	case ROUTE_RESTARTING:
		return "RESTARTING";
	}
	return "UNASSIGNED";
}

// Upper bounds in microseconds: a relay's work is a matter of milliseconds, its troubles of minutes.
static const int64_t bounds_us[METRICS_BUCKETS] = {500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000,
	1000000, 2000000, 5000000, 15000000, 60000000, 300000000};

void metrics_observe(struct metrics_histogram *histogram, int64_t duration_us)
{
	size_t bucket = 0;
	if (duration_us < 0)
		duration_us = 0; // another machine's clock
	while (bucket < METRICS_BUCKETS && duration_us > bounds_us[bucket])
		bucket++;
	atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)duration_us, memory_order_relaxed);
}

// --- the sum over the partitions of a route ---

#define COUNT(field) atomic_fetch_add(&sum->field, atomic_load(&part->field))
#define MOST(field)                                                                                                    \
	do {                                                                                                               \
		if (atomic_load(&part->field) > atomic_load(&sum->field))                                                      \
			atomic_store(&sum->field, atomic_load(&part->field));                                                      \
	} while (0)
#define LEAST(field)                                                                                                   \
	do {                                                                                                               \
		if (first || atomic_load(&part->field) < atomic_load(&sum->field))                                             \
			atomic_store(&sum->field, atomic_load(&part->field));                                                      \
	} while (0)

static void add_histogram(struct metrics_histogram *total, const struct metrics_histogram *part)
{
	for (size_t i = 0; i <= METRICS_BUCKETS; i++)
		atomic_fetch_add(&total->counts[i], atomic_load(&part->counts[i]));
	atomic_fetch_add(&total->sum_us, atomic_load(&part->sum_us));
}

static int severity(int state)
{
	static const int ranks[ROUTE_STATES] = {
		[ROUTE_RUNNING] = 1, [ROUTE_PAUSED] = 2, [ROUTE_STOPPED] = 3, [ROUTE_RESTARTING] = 4, [ROUTE_FAILED] = 5};
	return ranks[state];
}

static void add_levels(struct route_metrics *sum, const struct route_metrics *part)
{
	bool first = atomic_load(&sum->state) == ROUTE_UNASSIGNED;
	LEAST(position);
	LEAST(delivered);
	LEAST(caught_up);
	MOST(head);
	MOST(settled);
	MOST(lag_seconds_us);
	MOST(eta_us);
	MOST(unsettled_transactions);
	MOST(oldest_unsettled_us);
	MOST(dead_letters);
	MOST(held_aggregates);
	MOST(dead_letter_age_us);
	MOST(epoch);
	if (severity(atomic_load(&part->state)) > severity(atomic_load(&sum->state)))
		atomic_store(&sum->state, atomic_load(&part->state));
}

void metrics_add(struct route_metrics *sum, const struct route_metrics *part)
{
	COUNT(events);
	COUNT(bytes);
	COUNT(filtered);
	COUNT(restarts);
	COUNT(duplicates_skipped);
	COUNT(inflight_events);
	COUNT(buffer_bytes);
	COUNT(looks);
	for (size_t i = 0; i < METRICS_ERROR_KINDS; i++)
		COUNT(errors[i]);
	MOST(last_progress_us);
	MOST(longest_turn_us);
	MOST(store_up);
	add_histogram(&sum->publish, &part->publish);
	add_histogram(&sum->latency, &part->latency);
	if (atomic_load(&part->state) != ROUTE_UNASSIGNED)
		add_levels(sum, part);
}

enum unit { UNIT_ONE, UNIT_SECONDS_OF_US };

// One value of a route.
struct series {
	const char *name;
	const char *type;
	const char *help;
	enum unit unit;
	int64_t (*value)(const struct route_metrics *values);
};

#define VALUE(field)                                                                                                   \
	static int64_t value_##field(const struct route_metrics *values)                                                   \
	{                                                                                                                  \
		return (int64_t)atomic_load_explicit(&values->field, memory_order_relaxed);                                    \
	}
VALUE(position)
VALUE(lag_seconds_us)
VALUE(eta_us)
VALUE(last_progress_us)
VALUE(events)
VALUE(bytes)
VALUE(filtered)
VALUE(restarts)
VALUE(duplicates_skipped)
VALUE(inflight_events)
VALUE(buffer_bytes)
VALUE(epoch)
VALUE(dead_letters)
VALUE(held_aggregates)
VALUE(dead_letter_age_us)
VALUE(looks)
VALUE(longest_turn_us)

static int64_t value_lag_events(const struct route_metrics *values)
{
	int64_t lag = atomic_load(&values->head) - atomic_load(&values->position);
	return lag > 0 ? lag : 0;
}

static const struct series route_series[] = {
	{"meowmx_route_position", "gauge", "Up to here everything was delivered or was not for this route.", UNIT_ONE,
		value_position},
	{"meowmx_route_lag_events", "gauge", "Positions between the route and the store's head.", UNIT_ONE,
		value_lag_events},
	{"meowmx_route_lag_seconds", "gauge", "Age of the oldest event that is not delivered.", UNIT_SECONDS_OF_US,
		value_lag_seconds_us},
	{"meowmx_route_eta_seconds", "gauge", "Until it has caught up at the pace of late; +Inf while it stands.",
		UNIT_SECONDS_OF_US, value_eta_us},
	{"meowmx_route_last_progress_timestamp_seconds", "gauge", "When something was last delivered.", UNIT_SECONDS_OF_US,
		value_last_progress_us},
	{"meowmx_route_events_total", "counter", "Events that the sink has acknowledged.", UNIT_ONE, value_events},
	{"meowmx_route_bytes_total", "counter", "Their data.", UNIT_ONE, value_bytes},
	{"meowmx_route_filtered_events_total", "counter", "Events that were read and not for this route.", UNIT_ONE,
		value_filtered},
	{"meowmx_route_restarts_total", "counter", "Recoveries.", UNIT_ONE, value_restarts},
	{"meowmx_route_duplicates_skipped_total", "counter", "Events that the sink had already.", UNIT_ONE,
		value_duplicates_skipped},
	{"meowmx_route_inflight_events", "gauge", "Events sent and not acknowledged.", UNIT_ONE, value_inflight_events},
	{"meowmx_route_buffer_bytes", "gauge", "Memory of the batches in flight.", UNIT_ONE, value_buffer_bytes},
	{"meowmx_route_settled_looks_total", "counter", "Looks at pg_locks to prove a gap.", UNIT_ONE, value_looks},
	{"meowmx_dead_letters", "gauge", "Events that are set aside and wait for a person.", UNIT_ONE, value_dead_letters},
	{"meowmx_dead_letter_oldest_seconds", "gauge", "How long the oldest has been waiting.", UNIT_SECONDS_OF_US,
		value_dead_letter_age_us},
	{"meowmx_held_aggregates", "gauge", "Aggregates whose later events are set aside as well.", UNIT_ONE,
		value_held_aggregates},
	{"meowmx_lease_epoch", "gauge", "The highest epoch of the route's leases.", UNIT_ONE, value_epoch},
	{"meowmx_loop_longest_turn_seconds", "gauge", "The longest turn of the executor's loop.", UNIT_SECONDS_OF_US,
		value_longest_turn_us},
};
#define ROUTE_SERIES (sizeof(route_series) / sizeof(*route_series))

const char *const metrics_names[] = {"meowmx_build_info", "meowmx_store_up", "meowmx_store_head_position",
	"meowmx_store_settled_position", "meowmx_store_unsettled_transactions", "meowmx_store_oldest_unsettled_seconds",
	"meowmx_route_state", "meowmx_route_errors_total", "meowmx_route_publish_duration_seconds",
	"meowmx_route_latency_seconds", "meowmx_route_position", "meowmx_route_lag_events", "meowmx_route_lag_seconds",
	"meowmx_route_eta_seconds", "meowmx_route_last_progress_timestamp_seconds", "meowmx_route_events_total",
	"meowmx_route_bytes_total", "meowmx_route_filtered_events_total", "meowmx_route_restarts_total",
	"meowmx_route_duplicates_skipped_total", "meowmx_route_inflight_events", "meowmx_route_buffer_bytes",
	"meowmx_route_settled_looks_total", "meowmx_dead_letters", "meowmx_dead_letter_oldest_seconds",
	"meowmx_held_aggregates", "meowmx_lease_epoch", "meowmx_loop_longest_turn_seconds", "process_cpu_seconds_total",
	"process_resident_memory_bytes", "process_virtual_memory_bytes", "process_start_time_seconds", "process_open_fds",
	"process_max_fds", "process_virtual_memory_max_bytes", NULL};

struct writer {
	struct buffer *out;
	bool openmetrics;
};

// OpenMetrics names a counter's family without _total.
static void head(const struct writer *writer, const char *name, const char *type, const char *help)
{
	size_t length = strlen(name);
	if (writer->openmetrics && strcmp(type, "counter") == 0 && length > 6 && strcmp(name + length - 6, "_total") == 0)
		length -= 6;
	buffer_printf(writer->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)length, name, help, (int)length, name, type);
}

static void label(const struct writer *writer, const char *name, const char *route)
{
	buffer_printf(writer->out, "%s{route=\"", name);
	for (const char *c = route; *c; c++) {
		if (*c == '"' || *c == '\\' || *c == '\n')
			buffer_put_char(writer->out, '\\');
		buffer_put_char(writer->out, *c == '\n' ? 'n' : *c);
	}
	buffer_put_char(writer->out, '"');
}

static void put_seconds(struct buffer *out, int64_t us)
{
	if (us == METRICS_NEVER)
		buffer_put_text(out, "+Inf");
	else
		buffer_printf(out, "%s%lld.%06lld", us < 0 ? "-" : "", llabs(us / 1000000), llabs(us % 1000000));
}

static void write_value(const struct writer *writer, enum unit unit, int64_t value)
{
	buffer_put_text(writer->out, "} ");
	if (unit == UNIT_SECONDS_OF_US)
		put_seconds(writer->out, value);
	else
		buffer_put_int(writer->out, value);
	buffer_put_char(writer->out, '\n');
}

static void write_states(const struct writer *writer, const struct metrics_route *routes, size_t count)
{
	head(writer, "meowmx_route_state", "gauge", "1 for the state the route is in.");
	for (size_t i = 0; i < count; i++)
		for (int state = 0; state < ROUTE_STATES; state++) {
			label(writer, "meowmx_route_state", routes[i].name);
			buffer_printf(writer->out, ",state=\"%s\"", route_state_name((enum route_state)state));
			write_value(writer, UNIT_ONE, atomic_load(&routes[i].values->state) == state);
		}
}

static void write_errors(const struct writer *writer, const struct metrics_route *routes, size_t count)
{
	head(writer, "meowmx_route_errors_total", "counter", "Failures by class.");
	for (size_t i = 0; i < count; i++)
		for (int kind = MEOW_ERROR_NONE + 1; kind < METRICS_ERROR_KINDS; kind++) {
			label(writer, "meowmx_route_errors_total", routes[i].name);
			buffer_printf(writer->out, ",class=\"%s\"", error_kind_name((enum meow_error_kind)kind));
			write_value(writer, UNIT_ONE, (int64_t)atomic_load(&routes[i].values->errors[kind]));
		}
}

static void write_histogram(const struct writer *writer, const char *name, const char *help,
	const struct metrics_route *routes, size_t count, size_t offset)
{
	char bucket_name[80], sum_name[80], count_name[80];
	snprintf(bucket_name, sizeof(bucket_name), "%s_bucket", name);
	snprintf(sum_name, sizeof(sum_name), "%s_sum", name);
	snprintf(count_name, sizeof(count_name), "%s_count", name);
	head(writer, name, "histogram", help);
	for (size_t i = 0; i < count; i++) {
		const struct metrics_histogram *histogram =
			(const struct metrics_histogram *)(const void *)((const char *)routes[i].values + offset);
		uint64_t total = 0;
		for (size_t b = 0; b <= METRICS_BUCKETS; b++) {
			total += atomic_load(&histogram->counts[b]);
			label(writer, bucket_name, routes[i].name);
			if (b < METRICS_BUCKETS) // OpenMetrics wants a point in every number
				buffer_printf(writer->out, ",le=\"%g%s\"", (double)bounds_us[b] / 1e6,
					writer->openmetrics && bounds_us[b] % 1000000 == 0 ? ".0" : "");
			else
				buffer_put_text(writer->out, ",le=\"+Inf\"");
			write_value(writer, UNIT_ONE, (int64_t)total);
		}
		label(writer, sum_name, routes[i].name);
		write_value(writer, UNIT_SECONDS_OF_US, (int64_t)atomic_load(&histogram->sum_us));
		label(writer, count_name, routes[i].name);
		write_value(writer, UNIT_ONE, (int64_t)total);
	}
}

static void plain(
	const struct writer *writer, const char *name, const char *type, const char *help, int64_t value, enum unit unit)
{
	head(writer, name, type, help);
	buffer_printf(writer->out, "%s ", name);
	if (unit == UNIT_SECONDS_OF_US)
		put_seconds(writer->out, value);
	else
		buffer_put_int(writer->out, value);
	buffer_put_char(writer->out, '\n');
}

// The store, as the routes see it: up if any of them reaches it; the furthest head; the oldest open transaction.
static void write_store(const struct writer *writer, const struct metrics_route *routes, size_t count)
{
	int64_t up = 0, head_position = 0, settled = 0, transactions = 0, oldest = 0;
	for (size_t i = 0; i < count; i++) {
		const struct route_metrics *values = routes[i].values;
		up |= atomic_load(&values->store_up);
		int64_t seen = atomic_load(&values->head);
		head_position = seen > head_position ? seen : head_position;
		seen = atomic_load(&values->settled);
		settled = seen > settled ? seen : settled;
		seen = (int64_t)atomic_load(&values->unsettled_transactions);
		transactions = seen > transactions ? seen : transactions;
		seen = atomic_load(&values->oldest_unsettled_us);
		oldest = seen > oldest ? seen : oldest;
	}
	plain(writer, "meowmx_store_up", "gauge", "Whether the store can be reached.", up, UNIT_ONE);
	plain(writer, "meowmx_store_head_position", "gauge", "The highest position drawn.", head_position, UNIT_ONE);
	plain(writer, "meowmx_store_settled_position", "gauge", "Below it no event can still appear.", settled, UNIT_ONE);
	plain(writer, "meowmx_store_unsettled_transactions", "gauge", "Open transactions that hold a gap open.",
		transactions, UNIT_ONE);
	plain(writer, "meowmx_store_oldest_unsettled_seconds", "gauge", "Age of the oldest of them.", oldest,
		UNIT_SECONDS_OF_US);
}

static int64_t start_time_us(void)
{
	static _Atomic int64_t start;
	if (!atomic_load(&start)) {
		// Field 22 of /proc/self/stat: clock ticks from boot to start.
		unsigned long long ticks = 0;
		FILE *file = fopen("/proc/self/stat", "re");
		if (file) {
			if (fscanf(file,
					"%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
					"%*d %llu",
					&ticks) != 1)
				ticks = 0;
			fclose(file);
		}
		struct timespec wall, boot;
		clock_gettime(CLOCK_REALTIME, &wall);
		clock_gettime(CLOCK_BOOTTIME, &boot);
		int64_t up = (int64_t)boot.tv_sec * 1000000 + boot.tv_nsec / 1000;
		int64_t now = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000;
		atomic_store(&start, now - up + (int64_t)ticks * 1000000 / sysconf(_SC_CLK_TCK));
	}
	return atomic_load(&start);
}

static int64_t open_descriptors(void)
{
	int64_t count = 0;
	// Not opendir: whose the descriptor is that it makes, ThreadSanitizer cannot know, and ends where it was another's.
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	if (!folder) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count - 1; // the folder itself
}

static int64_t limit_of(struct rlimit limit)
{
	return limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > INT64_MAX ? -1 : (int64_t)limit.rlim_cur;
}

static void write_process(const struct writer *writer)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	int64_t cpu = ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
				  usage.ru_stime.tv_usec;
	long long virtual_pages = 0, resident_pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file) {
		if (fscanf(file, "%lld %lld", &virtual_pages, &resident_pages) != 2)
			virtual_pages = resident_pages = 0;
		fclose(file);
	}
	int64_t page = sysconf(_SC_PAGESIZE);
	struct rlimit files = {RLIM_INFINITY, 0}, memory = {RLIM_INFINITY, 0};
	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_AS, &memory);
	plain(writer, "process_cpu_seconds_total", "counter", "User and system time.", cpu, UNIT_SECONDS_OF_US);
	plain(writer, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_pages * page, UNIT_ONE);
	plain(writer, "process_virtual_memory_bytes", "gauge", "Virtual memory.", virtual_pages * page, UNIT_ONE);
	plain(
		writer, "process_start_time_seconds", "gauge", "When the process began.", start_time_us(), UNIT_SECONDS_OF_US);
	plain(writer, "process_open_fds", "gauge", "Open file descriptors.", open_descriptors(), UNIT_ONE);
	plain(writer, "process_max_fds", "gauge", "How many there may be.", limit_of(files), UNIT_ONE);
	plain(writer, "process_virtual_memory_max_bytes", "gauge", "How much virtual memory there may be, -1 for any.",
		limit_of(memory), UNIT_ONE);
}

void metrics_write(const struct metrics_route *routes, size_t count, bool openmetrics, struct buffer *out)
{
	struct writer writer = {out, openmetrics};
	head(&writer, "meowmx_build_info", "gauge", "The version that runs.");
	buffer_put_text(out, "meowmx_build_info{version=\"" MEOWMX_VERSION "\"} 1\n");
	write_store(&writer, routes, count);
	write_states(&writer, routes, count);
	for (size_t s = 0; s < ROUTE_SERIES; s++) {
		head(&writer, route_series[s].name, route_series[s].type, route_series[s].help);
		for (size_t i = 0; i < count; i++) {
			label(&writer, route_series[s].name, routes[i].name);
			write_value(&writer, route_series[s].unit, route_series[s].value(routes[i].values));
		}
	}
	write_errors(&writer, routes, count);
	write_histogram(&writer, "meowmx_route_publish_duration_seconds", "From sending a batch to its acknowledgement.",
		routes, count, offsetof(struct route_metrics, publish));
	write_histogram(&writer, "meowmx_route_latency_seconds", "From append to acknowledgement.", routes, count,
		offsetof(struct route_metrics, latency));
	write_process(&writer);
	if (openmetrics)
		buffer_put_text(out, "# EOF\n");
}
