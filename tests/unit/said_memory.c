/* What was said, when there is no memory to keep it (gateway/rescue.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* How many more times there is memory. */
static int left;

static void *scarce_calloc(size_t n, size_t size)
{
	return left-- > 0 ? calloc(n, size) : NULL;
}

static void *scarce_realloc(void *p, size_t size)
{
	return left-- > 0 ? realloc(p, size) : NULL;
}

/* The file itself, so that only its own memory is scarce. */
#define calloc  scarce_calloc
#define realloc scarce_realloc
#include "gateway/said.c" /* NOLINT(bugprone-suspicious-include) */
#undef calloc
#undef realloc

#define CALL(index) \
	"{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":" #index \
	",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}"

static void without_memory_an_answer_is_not_rescued(void **state)
{
	const struct chat_req req = { .n = 1 };
	struct said *s, *other;

	(void)state;
	/* Enough for nothing, the struct, and one call. */
	for (int enough = 0; enough < 4; enough++) {
		s = NULL;
		left = enough;
		said_note(&s, SLICE(CALL(0)));
		said_note(&s, SLICE(CALL(1)));
		assert_int_equal(rescue_can(s, &req, RESCUE_BY_SPLICE), enough == 3);
		/* And memory that is there later changes nothing. */
		left = 10;
		said_note(&s, SLICE(CALL(2)));
		assert_int_equal(rescue_can(s, &req, RESCUE_BY_SPLICE), enough == 3);
		assert_int_equal(said_text_bytes(s), 0);
		said_fini(&s);
		assert_null(s);
	}
	/* An answer without memory is not another's. */
	left = 0;
	s = other = NULL;
	said_note(&s, SLICE(CALL(0)));
	left = 10;
	said_note(&other, SLICE(CALL(0)));
	assert_false(rescue_can(s, &req, RESCUE_BY_SPLICE));
	assert_true(rescue_can(other, &req, RESCUE_BY_SPLICE));
	said_fini(&s);
	said_fini(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_an_answer_is_not_rescued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
