#include "handlers/common/path.h"

/* Longest first, so that "/api/gateway/v1" is not taken for "/api/gateway" and "/v1". */
static const char *const bases[] = { "/api/gateway/v1", "/api/openrouter/v1", "/api/gateway",
	"/api/openrouter", "/api/v1", "/v1" };

#define BASES (sizeof(bases) / sizeof(bases[0]))

/* The end of base in path, where base begins at a slash and ends before one; NULL when absent. */
static const char *behind_base(const char *path, const char *base)
{
	size_t n = strlen(base);

	for (const char *at = path; (at = strstr(at, base)); at++)
		if (at[n] == '/' || at[n] == '\0')
			return at + n;
	return NULL;
}

bool path_is_endpoint(const char *path, const char *endpoint, bool takes_rest, struct slice *rest)
{
	size_t n = strlen(endpoint);

	for (size_t i = 0; i < BASES; i++) {
		const char *at = behind_base(path, bases[i]);

		if (!at || strncmp(at, endpoint, n) != 0)
			continue;
		at += n;
		if (*at == '\0' || (*at == '/' && takes_rest)) {
			*rest = slice_of(*at ? at + 1 : at);
			return true;
		}
	}
	return false;
}

bool path_has_base(const char *path)
{
	for (size_t i = 0; i < BASES; i++)
		if (behind_base(path, bases[i]))
			return true;
	return false;
}
