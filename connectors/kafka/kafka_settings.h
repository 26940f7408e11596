// kafka_settings.h: the settings of the connector, and what librdkafka makes of them.
#ifndef CONNECTORS_KAFKA_KAFKA_SETTINGS_H
#define CONNECTORS_KAFKA_KAFKA_SETTINGS_H

#include "config/config.h"

#include <librdkafka/rdkafka.h>

extern const struct setting kafka_settings[];

// All that can be known without a broker. MEOW_CONFIG; the text begins with the setting's name.
void kafka_check(const struct config_section *settings, const struct config_report *report);

// How few messages the producer may put into one request, to find out which of them the broker refuses.
struct kafka_care {
	int batch_bytes; // 0: as configured
	bool one_by_one;
};

// `delivery: exactly-once`
bool kafka_is_exactly_once(const struct config_section *settings);

// The producer's configuration: our defaults, then `client`, then what the connector's promises rest on. A transactional
// one with a transactional_id (else NULL). NULL with err filled; else the caller's to give to rd_kafka_new or destroy.
MEOW_MUST_USE rd_kafka_conf_t *kafka_conf_create(const struct config_section *settings, const struct kafka_care *care,
	const char *transactional_id, struct meow_error *err);

// That of a consumer of committed records, with the same `client`; it logs nothing. As above.
MEOW_MUST_USE rd_kafka_conf_t *kafka_reader_conf_create(const struct config_section *settings, struct meow_error *err);

// Whom the producer asks first, for messages.
const char *kafka_bootstrap(const struct config_section *settings);

// A name that Kafka takes: [A-Za-z0-9._-], 1 to 249 characters, not "." or "..". Else why it does not, as a clause.
const char *kafka_name_fault(struct meow_bytes name); // NULL if there is none

#endif
