#include "tests/fuzz/dialect.h"

const char fuzz_dialect[] = "gemini";
const struct fuzz_target fuzz_targets[] = {
	{ "google", "gemini-3-pro-preview" },
	{ "google", "gemini-2.5-flash" },
	{ "google", "gemma-3-27b-it" },
	{ "google", "gemini-2.0-flash" },
};
const size_t fuzz_targets_n = sizeof(fuzz_targets) / sizeof(fuzz_targets[0]);
