/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the agent's protocol (docs/agent.md) by callbacks; a guest may say
 * anything at any time, or nothing. That this computer has slept is learned
 * from a timer on the real-time clock which is cancelled when that clock jumps
 * (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). When somebody sets that clock
 * it jumps as well; the guest's is its own affair then.
 */
#include "vmm/guest/guest_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vm/host.h"
#include "vmm/guest/facts.h"
#include "vmm/vsock_unix.h"

#define MOMENT_NS   250000000l	   /* that whoever asks waits at most */
#define NEW_NS	    1000000000ull  /* facts that are not asked for again */
#define PATIENCE_NS 10000000000ull /* with one call */
#define SLEPT_NS    100000000	   /* less is not worth a jump of a clock */
#define NS_PER_S    1000000000
#define FRAMES_MAX  1000
#define LINE_MAX    32

struct call {
	struct guest_agent *agent;
	int fd; /* -1: none */
	uint8_t request;
	bool connected, greeted; /* "OK N" has come, the greeting has */
	uint64_t start;
	unsigned int frames;
	json_t *facts; /* so far */
	struct frame_in in;
};

struct guest_agent {
	struct loop *loop;
	struct vsock_unix *vsock;
	int moment, sleep; /* timers */
	struct guest_agent_clocks clocks;
	json_t *facts; /* NULL: none yet */
	uint64_t at;   /* when they came */
	void (*answered)(void *ctx);
	void *ctx;
	struct call ask, set_time;
};

/* --- calls ----------------------------------------------------------------------- */

static void set_moment(struct guest_agent *agent, long ns)
{
	const struct itimerspec when = { .it_value = { .tv_nsec = ns } };

	timerfd_settime(agent->moment, 0, &when, NULL);
}

static void end_call(struct call *call)
{
	if (call->fd < 0)
		return;
	loop_remove(call->agent->loop, call->fd);
	close(call->fd);
	call->fd = -1;
	json_decref(call->facts);
	call->facts = NULL;
	if (call->request == AGENT_FACTS)
		set_moment(call->agent, 1); /* nobody need wait any longer */
}

static bool send_request(const struct call *call)
{
	struct timespec now;
	uint8_t data[AGENT_FRAME_HEAD + 8];
	uint32_t size = call->request == AGENT_SET_TIME ? 8 : 0;

	clock_gettime(CLOCK_REALTIME, &now);
	frame_put32(data, size << 8 | call->request);
	frame_put64(data + AGENT_FRAME_HEAD,
		    (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
	size += AGENT_FRAME_HEAD;
	return send(call->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)size;
}

/* The lines before frames. False: there is no agent of ours. */
static bool take_lines(struct call *call)
{
	struct frame_in *in = &call->in;

	while (!call->greeted) {
		const char *line = (const char *)in->bytes + in->start;
		size_t size = in->used - in->start;
		const char *end = memchr(line, '\n', size);
		size_t length = end ? (size_t)(end - line) + 1 : 0;

		if (!end)
			return size < LINE_MAX;
		in->start += (uint32_t)length;
		if (!call->connected) {
			if (length < 3 || memcmp(line, "OK ", 3))
				return false;
			call->connected = true;
			continue;
		}
		if (length != strlen(AGENT_GREETING) ||
		    memcmp(line, AGENT_GREETING, length) ||
		    !send_request(call))
			return false;
		call->greeted = true;
	}
	return true;
}

static void take_facts(struct call *call)
{
	struct guest_agent *agent = call->agent;

	json_decref(agent->facts);
	agent->facts = call->facts;
	call->facts = NULL;
	agent->at = host_monotonic_ns();
}

/* False: the call is over. */
static bool take_frame(struct call *call, const struct frame *frame)
{
	if (frame->type == AGENT_FACT && call->facts &&
	    call->frames++ < FRAMES_MAX) {
		facts_keep(call->facts, frame);
		return true;
	}
	if (frame->type == AGENT_DONE && call->facts)
		take_facts(call);
	return false;
}

static bool take_bytes(struct call *call)
{
	struct frame frame;
	int rc;

	if (!take_lines(call))
		return false;
	if (!call->greeted)
		return true;
	while ((rc = frame_next(&call->in, &frame)) > 0)
		if (!take_frame(call, &frame))
			return false;
	return !rc;
}

static void call_ready(void *ctx, uint32_t events)
{
	struct call *call = ctx;
	long n = frame_fill(&call->in, call->fd);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0 || !take_bytes(call))
		end_call(call);
}

/* False: it could not be made. */
static bool begin_call(struct guest_agent *agent, struct call *call,
		       uint8_t request)
{
	static const char hello[] = AGENT_GREETING;
	int fd = vsock_unix_call(agent->vsock, AGENT_PORT);

	if (fd < 0)
		return false;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (send(fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL) !=
		    (ssize_t)sizeof(hello) - 1 ||
	    loop_add(agent->loop, fd, LOOP_READ, call_ready, call)) {
		close(fd);
		return false;
	}
	call->fd = fd;
	call->request = request;
	call->connected = call->greeted = false;
	call->start = host_monotonic_ns();
	call->frames = 0;
	call->facts = request == AGENT_FACTS ? facts_new() : NULL;
	call->in.start = call->in.used = 0;
	return true;
}

/* --- facts ------------------------------------------------------------------------ */

static void moment_passed(void *ctx, uint32_t events)
{
	struct guest_agent *agent = ctx;
	uint64_t passed;

	if (read(agent->moment, &passed, sizeof(passed)) == sizeof(passed) &&
	    agent->answered)
		agent->answered(agent->ctx);
}

bool guest_agent_ask(struct guest_agent *agent)
{
	uint64_t now = host_monotonic_ns();

	if (!agent->vsock || (agent->facts && now - agent->at < NEW_NS))
		return false;
	if (agent->ask.fd >= 0 && now - agent->ask.start < MOMENT_NS)
		return true; /* others wait for the same */
	if (agent->ask.fd >= 0 && now - agent->ask.start < PATIENCE_NS)
		return false;
	end_call(&agent->ask);
	if (!begin_call(agent, &agent->ask, AGENT_FACTS))
		return false;
	set_moment(agent, MOMENT_NS);
	return true;
}

json_t *guest_agent_json(const struct guest_agent *agent)
{
	json_t *all;

	if (!agent->facts)
		return json_null();
	all = json_deep_copy(agent->facts);
	json_object_set_new(all, "age",
			    json_real((double)(host_monotonic_ns() -
					       agent->at) / NS_PER_S));
	return all;
}

/* --- the clock --------------------------------------------------------------------- */

void guest_agent_set_time(struct guest_agent *agent)
{
	if (!agent->vsock)
		return;
	end_call(&agent->set_time);
	begin_call(agent, &agent->set_time, AGENT_SET_TIME);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

bool guest_agent_slept(const struct guest_agent_clocks *before,
		       const struct guest_agent_clocks *now)
{
	return now->boot - before->boot - (now->monotonic -
					   before->monotonic) >= SLEPT_NS;
}

/* Never comes to pass, but for jumps. */
static int watch_sleep(struct guest_agent *agent)
{
	const struct itimerspec far = {
		.it_value = { .tv_sec = INT64_MAX },
	};

	agent->clocks.boot = clock_ns(CLOCK_BOOTTIME);
	agent->clocks.monotonic = clock_ns(CLOCK_MONOTONIC);
	return timerfd_settime(agent->sleep,
			       TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
			       &far, NULL) && errno != ECANCELED ? -errno : 0;
}

static void clock_jumped(void *ctx, uint32_t events)
{
	const struct guest_agent_clocks now = {
		clock_ns(CLOCK_BOOTTIME), clock_ns(CLOCK_MONOTONIC),
	};
	struct guest_agent *agent = ctx;
	bool slept = guest_agent_slept(&agent->clocks, &now);
	uint64_t passed;

	if (read(agent->sleep, &passed, sizeof(passed)) < 0 &&
	    errno == EAGAIN)
		return;
	if (watch_sleep(agent))
		loop_remove(agent->loop, agent->sleep);
	if (slept)
		guest_agent_set_time(agent);
}

/* --- the whole --------------------------------------------------------------------- */

static int start_timer(struct guest_agent *agent, int *timer, clockid_t clock,
		       void (*ready)(void *ctx, uint32_t events))
{
	*timer = timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK);
	return *timer < 0 ? -errno :
			    loop_add(agent->loop, *timer, LOOP_READ, ready,
				     agent);
}

int guest_agent_open(struct guest_agent **out, struct loop *loop,
		     struct vsock_unix *vsock)
{
	struct guest_agent *agent = calloc(1, sizeof(*agent));
	int rc;

	*out = agent;
	if (!agent)
		return -ENOMEM;
	agent->loop = loop;
	agent->vsock = vsock;
	agent->moment = agent->sleep = -1;
	agent->ask.fd = agent->set_time.fd = -1;
	agent->ask.agent = agent->set_time.agent = agent;
	rc = start_timer(agent, &agent->moment, CLOCK_MONOTONIC,
			 moment_passed);
	if (!rc)
		rc = start_timer(agent, &agent->sleep, CLOCK_REALTIME,
				 clock_jumped);
	return rc ? rc : watch_sleep(agent);
}

void guest_agent_close(struct guest_agent *agent)
{
	if (!agent)
		return;
	end_call(&agent->ask);
	end_call(&agent->set_time);
	for (int i = 0; i < 2; i++) {
		int timer = i ? agent->sleep : agent->moment;

		if (timer < 0)
			continue;
		loop_remove(agent->loop, timer);
		close(timer);
	}
	json_decref(agent->facts);
	free(agent);
}

void guest_agent_on_answer(struct guest_agent *agent, void (*answered)(void *),
			   void *ctx)
{
	agent->answered = answered;
	agent->ctx = ctx;
}
