#include "handlers/cli/selftest_faults.h"

#include <stdio.h>

#define ANY SELFTEST_ANY

/* Slow ones come last: they run beside the others. */
const struct selftest_fault selftest_faults[] = {
	{ "healthy", "ab", { { ACT_ANSWER } }, .attempts = "a:ok", .asked = { 1, 0 } },
	{ "healthy-json", "ab", { { ACT_ANSWER } }, .whole = true, .attempts = "a:ok",
		.asked = { 1, 0 } },
	{ "stranger", "a", { { ACT_ANSWER } }, .stranger = true, .expect = EXPECT_STATUS,
		.status = 401, .asked = { 0 } },
	{ "429", "ab", { { ACT_429 }, { ACT_ANSWER } }, .attempts = "a:429, b:ok",
		.asked = { 1, 1 } },
	{ "429-alone", "a", { { ACT_429, ACT_ANSWER } }, .attempts = "a:429, a:ok",
		.asked = { 2 } },
	{ "429-retry-after", "ab", { { ACT_429_LATER }, { ACT_ANSWER } }, .attempts = "a:429, b:ok",
		.asked = { 1, 1 } },
	{ "429-retry-after-alone", "a", { { ACT_429_SOON, ACT_ANSWER } }, .attempts = "a:429, a:ok",
		.asked = { 2 } },
	{ "500-once", "ab", { { ACT_500, ACT_ANSWER } }, .attempts = "a:500, a:ok",
		.asked = { 2, 0 } },
	{ "500-always", "ab", { { ACT_500 }, { ACT_ANSWER } }, .attempts = "a:500, a:500, b:ok",
		.asked = { 2, 1 } },
	{ "503", "ab", { { ACT_503 }, { ACT_ANSWER } }, .attempts = "a:503, b:ok",
		.asked = { 1, 1 } },
	{ "503-json", "ab", { { ACT_503 }, { ACT_ANSWER } }, .whole = true,
		.attempts = "a:503, b:ok", .asked = { 1, 1 } },
	{ "reset", "ab", { { ACT_RESET }, { ACT_ANSWER } }, .asked = { ANY, 1 } },
	{ "connection-refused", "xb", { { ACT_SAME }, { ACT_ANSWER } },
		.attempts = "closed:connect, b:ok", .asked = { 0, 1 } },
	{ "bad-key", "ab", { { ACT_BAD_KEY }, { ACT_ANSWER } }, .attempts = "a:401, b:ok",
		.asked = { 1, 1 } },
	{ "html-under-200", "ab", { { ACT_HTML }, { ACT_ANSWER } }, .asked = { 1, 1 } },
	{ "error-under-200", "ab", { { ACT_ERROR_200 }, { ACT_ANSWER } }, .asked = { ANY, 1 } },
	{ "error-under-200-json", "ab", { { ACT_ERROR_200 }, { ACT_ANSWER } }, .whole = true,
		.asked = { ANY, 1 } },
	{ "empty-stream", "ab", { { ACT_EMPTY }, { ACT_ANSWER } }, .asked = { 1, 1 } },
	{ "malformed-event", "ab", { { ACT_GARBAGE }, { ACT_ANSWER } }, .asked = { 1, 1 } },
	{ "no-done", "ab", { { ACT_NO_DONE } }, .asked = { 1, 0 } },
	{ "no-finish-reason", "ab", { { ACT_NO_FINISH, ACT_ANSWER }, { ACT_ANSWER } },
		.expect = EXPECT_RESCUED, .asked = { ANY, ANY } },
	{ "context-too-long", "ab", { { ACT_TOO_LONG } }, .expect = EXPECT_STATUS, .status = 400,
		.asked = { 1, 0 } },
	{ "content-refused", "ab", { { ACT_REFUSED } }, .expect = EXPECT_STATUS, .status = 400,
		.asked = { 1, 0 } },
	{ "cut", "ab", { { ACT_CUT, ACT_ANSWER }, { ACT_ANSWER } }, .expect = EXPECT_RESCUED,
		.asked = { ANY, ANY } },
	{ "cut-json", "ab", { { ACT_CUT }, { ACT_ANSWER } }, .whole = true, .asked = { 1, 1 } },
	{ "cut-then-down", "ab", { { ACT_CUT, ACT_503 }, { ACT_ANSWER } }, .expect = EXPECT_RESCUED,
		.asked = { ANY, ANY } },
	{ "cut-then-different", "ab", { { ACT_OTHER_CUT, ACT_ANSWER }, { ACT_ANSWER } },
		.expect = EXPECT_CUT, .asked = { ANY, ANY } },
	{ "cut-then-continued", "ab", { { ACT_CUT, ACT_503 }, { ACT_CONTINUE } }, .continues = true,
		.expect = EXPECT_RESCUED, .asked = { ANY, ANY } },
	{ "error-in-mid-stream", "ab", { { ACT_ERROR_LATE, ACT_ANSWER }, { ACT_ANSWER } },
		.expect = EXPECT_RESCUED, .asked = { ANY, ANY } },
	{ "tool-call", "ab", { { ACT_ANSWER } }, .calls = true, .attempts = "a:ok",
		.asked = { 1, 0 } },
	{ "tool-call-cut", "ab", { { ACT_CUT, ACT_ANSWER }, { ACT_ANSWER } }, .calls = true,
		.expect = EXPECT_RESCUED, .asked = { ANY, ANY } },
	{ "flapping", "ab", { { ACT_503, ACT_ANSWER }, { ACT_ANSWER } }, .cycles = true, .times = 8,
		.asked = { ANY, ANY } },
	{ "outage", "ab", { { ACT_503 }, { ACT_ANSWER } }, .outage = true, .asked = { ANY, ANY } },
	{ "all-down", "abc", { { ACT_503 }, { ACT_503 }, { ACT_503 } }, .whole = true,
		.expect = EXPECT_DOWN, .asked = { ANY, ANY, ANY } },
	{ "healthy-again", "ab", { { ACT_ANSWER } }, .attempts = "a:ok", .asked = { 1, 0 } },
	{ "silence", "ab", { { ACT_SILENT }, { ACT_ANSWER } }, .wait = WAIT_FIRST_TOKEN,
		.attempts = "a:slow, b:ok", .asked = { 1, 1 } },
	{ "slow-first-token", "ab", { { ACT_SLOW }, { ACT_ANSWER } }, .wait = WAIT_FIRST_TOKEN,
		.attempts = "a:slow, b:ok", .asked = { 1, 1 } },
	{ "stall", "ab", { { ACT_STALL, ACT_ANSWER }, { ACT_ANSWER } }, .wait = WAIT_IDLE,
		.expect = EXPECT_RESCUED, .asked = { ANY, ANY } },
};

const size_t selftest_fault_count = sizeof(selftest_faults) / sizeof(selftest_faults[0]);

void selftest_word(bool other, unsigned i, char out[8])
{
	(void)snprintf(out, 8, "%s%c%02u", i ? " " : "", other ? 'z' : 'w', (i + 1) % 100);
}

uint8_t selftest_place(char letter)
{
	return letter == 'x' ? SELFTEST_PROVIDERS - 1 : (uint8_t)(letter - 'a');
}
