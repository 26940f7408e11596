// Load, decide, append; on a conflict all of it again with a new state, since what was decided may no longer hold. There
// is no pause in between: whoever lost has waited for the winner's commit already, inside the append.
//
// Where the application's transaction is aborted by the conflict, the next load fails for that reason; what is told then
// is the conflict, which is why the whole transaction must be repeated.
#include "app/aggregate.h"

enum attempt { ATTEMPT_DONE, ATTEMPT_ENDED, ATTEMPT_CONFLICT };

struct command {
	struct meow_store *store;
	const struct meow_aggregate_type *type;
	const char *id;
	meow_decide_fn *decide;
	void *arg;
	bool aborted;               // the last conflict aborts a transaction that is open
	struct meow_error conflict; // the last one
};

static enum attempt load(struct command *command, struct meow_aggregate **ret_aggregate, struct meow_error *err)
{
	*ret_aggregate = meow_aggregate_load(command->store, command->type, command->id, INT64_MAX, err);
	if (*ret_aggregate)
		return ATTEMPT_DONE;
	if (command->aborted && err->kind == MEOW_INVALID)
		*err = command->conflict;
	else if (err->kind == MEOW_CONFLICT)
		return ATTEMPT_CONFLICT; // its history was cut meanwhile
	return ATTEMPT_ENDED;
}

static enum attempt decide_and_save(
	struct command *command, struct meow_aggregate *aggregate, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_error reason = {.kind = MEOW_INVALID};
	if (!command->decide(command->arg, aggregate, &reason)) {
		error_set_code(err, reason.kind, reason.code, "%s", *reason.text ? reason.text : "it was decided against");
		return ATTEMPT_ENDED;
	}
	if (aggregate_save(aggregate, ret, &command->aborted, err))
		return ATTEMPT_DONE;
	return err->kind == MEOW_CONFLICT ? ATTEMPT_CONFLICT : ATTEMPT_ENDED;
}

static enum attempt attempt(struct command *command, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_aggregate *aggregate;
	enum attempt outcome = load(command, &aggregate, err);
	if (outcome != ATTEMPT_DONE)
		return outcome;
	outcome = decide_and_save(command, aggregate, ret, err);
	meow_aggregate_destroy(aggregate);
	if (outcome == ATTEMPT_CONFLICT)
		command->conflict = *err;
	return outcome;
}

bool meow_execute(struct meow_store *store, const struct meow_aggregate_type *type, const char *id, unsigned tries,
	meow_decide_fn *decide, void *arg, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	struct command command = {.store = store, .type = type, .id = id, .decide = decide, .arg = arg};
	if (tries == 0)
		return error_set(error, MEOW_INVALID, "%s %s: no try was allowed", type->name, id);
	for (unsigned tried = 1;; tried++) {
		enum attempt outcome = attempt(&command, ret, error);
		if (outcome == ATTEMPT_DONE)
			return true;
		if (outcome == ATTEMPT_ENDED || tried == tries)
			return false;
	}
}
