/* Images, documents and sound in every form clients write them. */
#include "gateway/providers/talk.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define PNG "iVBORw0KGgo="

static struct part part_of(enum part_kind kind, const char *value)
{
	return (struct part){ .kind = kind,
		.object = { JSON_OBJECT, SLICE("{}") },
		.value = { *value == '"' ? JSON_STRING : JSON_OBJECT, slice_of(value) },
		.message = 3,
		.member = "content",
		.index = 1 };
}

struct row {
	enum part_kind kind;
	const char *value;
	enum media_kind expected;
	const char *type, *text, *name; /* text: the data, or the URL */
};

static void expect(const struct row *row)
{
	struct part p = part_of(row->kind, row->value);
	struct slice text;
	struct media m;
	struct err e;

	print_message("%s\n", row->value);
	if (media_read(&p, &m, &e))
		fail_msg("%s", e.message);
	assert_int_equal(m.kind, row->expected);
	assert_string_equal(m.type, row->type);
	text = m.kind == MEDIA_INLINE ? m.data : m.url;
	if (!slice_is(text, row->text))
		fail_msg("%.*s", SLICE_ARG(text));
	assert_true(slice_is(m.name, row->name ? row->name : ""));
	media_fini(&m);
}

static void data_urls_are_read_by_the_grammar(void **state)
{
	static const struct row rows[] = {
		{ PART_IMAGE, "\"data:image/png;base64," PNG "\"", MEDIA_INLINE, "image/png", PNG,
			NULL },
		{ PART_IMAGE, "{\"url\":\"data:image/png;base64," PNG "\",\"detail\":\"low\"}",
			MEDIA_INLINE, "image/png", PNG, NULL },
		{ PART_IMAGE, "\"DATA:Image/HEIC;name=a;BASE64,QUJD\"", MEDIA_INLINE, "image/heic",
			"QUJD", NULL },
		{ PART_IMAGE, "\"data:image\\/svg+xml;base64,QUJD\\/w==\"", MEDIA_INLINE,
			"image/svg+xml", "QUJD/w==", NULL },
		{ PART_IMAGE, "\"data:image/heic;base64,QU\\n JD\\u002b \\tQ\"", MEDIA_INLINE,
			"image/heic", "QUJD+Q==", NULL },
		{ PART_IMAGE, "\"data:image/heic;base64,Q UI=\"", MEDIA_INLINE, "image/heic",
			"QUI=", NULL },
		{ PART_FILE, "{\"file_data\":\"data:text/plain;charset=utf-8,a%20b%2\"}",
			MEDIA_INLINE, "text/plain", "YSBiJTI=", NULL },
		{ PART_FILE, "{\"file_data\":\"data:,A\"}", MEDIA_INLINE, "text/plain",
			"QQ==", NULL },
		{ PART_FILE, "{\"file_data\":\"data:;base64,QUJD\"}", MEDIA_INLINE, "", "QUJD",
			NULL },
		{ PART_IMAGE, "\" data:image/heic;base64,QUJD \"", MEDIA_INLINE, "image/heic",
			"QUJD", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(&rows[i]);
}

static void what_the_bytes_say_counts_more_than_the_label(void **state)
{
	static const struct row rows[] = {
		{ PART_IMAGE, "\"data:image/jpeg;base64," PNG "\"", MEDIA_INLINE, "image/png", PNG,
			NULL },
		{ PART_IMAGE, "\"data:;base64,/9j/4AAQ\"", MEDIA_INLINE, "image/jpeg", "/9j/4AAQ",
			NULL },
		{ PART_IMAGE, "\"data:image/png;base64,R0lGODlhAQAB\"", MEDIA_INLINE, "image/gif",
			"R0lGODlhAQAB", NULL },
		{ PART_IMAGE, "\"data:image/png;base64,UklGRgAAAABXRUJQVlA4\"", MEDIA_INLINE,
			"image/webp", "UklGRgAAAABXRUJQVlA4", NULL },
		{ PART_IMAGE, "\"data:image/jpg;base64,QUJD\"", MEDIA_INLINE, "image/jpeg", "QUJD",
			NULL },
		{ PART_FILE, "{\"file_data\":\"JVBERi0xLjQ=\"}", MEDIA_INLINE, "application/pdf",
			"JVBERi0xLjQ=", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(&rows[i]);
}

static void addresses_are_kept(void **state)
{
	static const struct row rows[] = {
		{ PART_IMAGE, "\"https://h/i.png?a=1\"", MEDIA_URL, "", "https://h/i.png?a=1",
			NULL },
		{ PART_IMAGE, "{\"url\":\"https:\\/\\/h\\/i\"}", MEDIA_URL, "", "https://h/i",
			NULL },
		{ PART_VIDEO, "{\"url\":\"gs://b/v.mp4\"}", MEDIA_URL, "", "gs://b/v.mp4", NULL },
		{ PART_FILE, "{\"url\":\"https://h/a\",\"filename\":\"a.pdf\"}", MEDIA_URL,
			"application/pdf", "https://h/a", "a.pdf" },
		{ PART_FILE, "{\"file_data\":\"https://h/a\"}", MEDIA_URL, "", "https://h/a",
			NULL },
		{ PART_FILE, "{\"file_id\":\"file-1\"}", MEDIA_FILE_ID, "", "file-1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(&rows[i]);
}

static void sound_and_files_have_their_type(void **state)
{
	static const struct row rows[] = {
		{ PART_AUDIO, "{\"data\":\"QUJD\",\"format\":\"wav\"}", MEDIA_INLINE, "audio/wav",
			"QUJD", NULL },
		{ PART_AUDIO, "{\"data\":\"data:audio/mp3;base64,QUJD\"}", MEDIA_INLINE,
			"audio/mp3", "QUJD", NULL },
		{ PART_FILE, "{\"file_data\":\"QUJD\",\"filename\":\"\\u00e4.CSV\"}", MEDIA_INLINE,
			"text/csv", "QUJD", "ä.CSV" },
		{ PART_FILE, "{\"file_data\":\"QU\\/D\",\"filename\":\"a\\/b\"}", MEDIA_INLINE, "",
			"QU/D", "a/b" },
		{ PART_FILE, "{\"file_data\":\"QUJD\",\"format\":\"image/heif\"}", MEDIA_INLINE,
			"image/heif", "QUJD", NULL },
		{ PART_VIDEO, "\"data:video/mp4;base64,QUJD\"", MEDIA_INLINE, "video/mp4", "QUJD",
			NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(&rows[i]);
}

static void clean_data_is_not_copied(void **state)
{
	static const char head[] = "\"data:image/png;base64,";
	size_t len = (size_t)20 << 20;
	char *value = malloc(sizeof(head) + len + 1);
	struct part p = { .kind = PART_IMAGE, .member = "content" };
	struct media m;
	struct err e;

	(void)state;
	assert_non_null(value);
	memcpy(value, head, sizeof(head) - 1);
	memset(value + sizeof(head) - 1, 'A', len);
	value[sizeof(head) - 1 + len] = '"';
	p.value = (struct json_value){ JSON_STRING, { value, sizeof(head) + len } };
	assert_int_equal(media_read(&p, &m, &e), ERR_OK);
	assert_ptr_equal(m.data.ptr, value + sizeof(head) - 1);
	assert_int_equal(m.data.len, len);
	assert_null(m.own.data);
	media_fini(&m);
	/* One blank in the middle, and all of it has to be written anew. */
	value[1000] = ' ';
	value[1001] = ' ';
	value[1002] = ' ';
	value[1003] = ' ';
	assert_int_equal(media_read(&p, &m, &e), ERR_OK);
	assert_int_equal(m.data.len, len - 4);
	media_fini(&m);
	free(value);
}

static void what_is_no_media_is_refused_by_name(void **state)
{
	static const struct {
		enum part_kind kind;
		const char *value, *param;
	} rows[] = {
		{ PART_IMAGE, "\"\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"iVBORw0KGgo=\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"https:\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"https://h/a b\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"https://h/\\u0000\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "{\"url\":7}", "messages[3].content[1].image_url.url" },
		{ PART_IMAGE, "{}", "messages[3].content[1].image_url.url" },
		{ PART_IMAGE, "\"data:image/png;base64\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:image/png;base64,\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:image/png;base64,QUJDR\"",
			"messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:image/png;base64,QU=D\"",
			"messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:image/png;base64,QU*D\"",
			"messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:image/png;base64,QU\\u0000D\"",
			"messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:im age;base64,QUJD\"", "messages[3].content[1].image_url" },
		{ PART_IMAGE, "\"data:,\"", "messages[3].content[1].image_url" },
		{ PART_AUDIO, "{}", "messages[3].content[1].input_audio.data" },
		{ PART_AUDIO, "{\"data\":\"QUJD\",\"format\":7}",
			"messages[3].content[1].input_audio.format" },
		{ PART_AUDIO, "{\"data\":\"QUJD\",\"format\":\"\\\"\"}",
			"messages[3].content[1].input_audio.format" },
		{ PART_AUDIO, "\"QUJD\"", "messages[3].content[1].input_audio.data" },
		{ PART_FILE, "{}", "messages[3].content[1].file" },
		{ PART_FILE, "{\"file_data\":7}", "messages[3].content[1].file.file_data" },
		{ PART_FILE, "{\"file_id\":\"f\",\"filename\":[]}",
			"messages[3].content[1].file.filename" },
		{ PART_TEXT, "\"x\"", "messages[3].content[1].type" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct part p = part_of(rows[i].kind, rows[i].value);
		struct media m;
		struct err e;

		print_message("%s\n", rows[i].value);
		assert_int_equal(media_read(&p, &m, &e), ERR_BAD_REQUEST);
		assert_string_equal(e.param, rows[i].param);
		media_fini(&m);
	}
}

/* Whatever stands in the string is read or refused, and what is read is base64. */
static void no_text_brings_it_down(void **state)
{
	static const char seed[] = "\"data:image/png;a=b;base64,iVBO%20 Rw0K\\nGgo=\"";
	static const char spice[] = ",;:%=\\n/uAb0 +\t";
	unsigned read = 0;

	(void)state;
	srand(5);
	for (int round = 0; round < 60000; round++) {
		char value[sizeof(seed)];
		static const struct json_limits limits = { .max_depth = 2, .max_keys = 2 };
		struct part p;
		struct media m;
		struct err e;

		memcpy(value, seed, sizeof(seed));
		for (int i = rand() % 4; i >= 0; i--)
			value[1 + (size_t)rand() % (sizeof(seed) - 3)] =
				spice[(size_t)rand() % (sizeof(spice) - 1)];
		if (json_validate(slice_of(value), &limits, NULL, &e))
			continue;
		p = part_of(PART_IMAGE, value);
		if (!media_read(&p, &m, &e) && m.kind == MEDIA_INLINE) {
			assert_true(m.data.len > 0 && m.data.len % 4 == 0);
			assert_null(memchr(m.data.ptr, ' ', m.data.len));
			read++;
		}
		media_fini(&m);
	}
	assert_true(read > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_urls_are_read_by_the_grammar),
		cmocka_unit_test(what_the_bytes_say_counts_more_than_the_label),
		cmocka_unit_test(addresses_are_kept),
		cmocka_unit_test(sound_and_files_have_their_type),
		cmocka_unit_test(clean_data_is_not_copied),
		cmocka_unit_test(what_is_no_media_is_refused_by_name),
		cmocka_unit_test(no_text_brings_it_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
