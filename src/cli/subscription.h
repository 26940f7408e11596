// subscription.h: how a subscription is shown, to machines and to people, by `status` and `subscription`.
#ifndef CLI_SUBSCRIPTION_H
#define CLI_SUBSCRIPTION_H

#include "store/store.h"

void subscription_json(struct buffer *out, const struct store_subscription *subscription);
void subscription_table(
	struct buffer *out, const struct store_subscriptions *list); // one line each, and why it stopped

#endif
