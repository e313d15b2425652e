/* The pump's place is taken by a token server that the test scripts, and the clock is the test's.
 */
#include "gateway/vertex.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/rsa_key.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define WALL_MS INT64_C(1767323045000)
#define URI     "https://oauth2.example/token"

/* ---- the clock ---- */

/* Ahead of the true one, on which threads wait for each other. */
static _Atomic int64_t mono_ms = INT64_C(1) << 40;

int64_t clock_wall_ms(void)
{
	return WALL_MS;
}

int64_t clock_mono_ms(void)
{
	return mono_ms;
}

int64_t clock_mono_us(void)
{
	return mono_ms * 1000;
}

void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
	(void)wall_ms;
	str_copy_cut(out, CLOCK_ISO_SIZE, "2026-01-02T03:04:05.000Z");
}

/* ---- the token server ---- */

static struct {
	int status;
	const char *body;
	enum err_code failure; /* instead of an answer */
	atomic_int asked;
	atomic_bool held; /* answers wait until it is false */
	char url[URL_MAX_SIZE];
	struct buf request;
} server;

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	(void)p;
	assert_true(j->deadline_mono_ms > clock_mono_ms());
	assert_true(j->deadline_mono_ms <= clock_mono_ms() + VERTEX_WAIT_MS);
	memcpy(server.url, j->req->url, sizeof(server.url));
	buf_reset(&server.request);
	buf_slice_append(&server.request, buf_slice(&j->req->body));
	server.asked++;
	while (server.held)
		usleep(100);
	if (server.failure)
		return err_set(e, server.failure, "as the test wants it");
	j->status = server.status;
	if (j->ops->on_head(j, &j->err) == JOB_FAIL ||
		j->ops->on_bytes(j, slice_of(server.body), &j->err) == JOB_FAIL ||
		j->ops->on_end(j, false, &j->err) == JOB_FAIL) {
		*e = j->err;
		return e->code;
	}
	return ERR_OK;
}

static void answer(int status, const char *body)
{
	server.status = status;
	server.body = body;
	server.failure = ERR_OK;
}

/* ---- the file ---- */

static char folder[] = "/tmp/tollgate-vertex-XXXXXX";
static char path[64];
static struct rsa_key key;

static void write_file(const char *text, mode_t mode)
{
	FILE *f;

	unlink(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void write_account(const char *type, const char *uri, const char *pem, mode_t mode)
{
	struct buf text = { 0 };

	buf_str(&text, "{\"type\":");
	buf_json_cstr(&text, type);
	buf_str(&text, ",\"project_id\":\"p\",\"private_key_id\":\"kid1\",\"private_key\":");
	buf_json_cstr(&text, pem);
	buf_str(&text, ",\"client_email\":\"gw@p.iam.example\",\"token_uri\":");
	buf_json_cstr(&text, uri);
	buf_str(&text, "}");
	write_file(buf_cstr(&text), mode);
	buf_fini(&text);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	if (log_open(path, "test", NULL))
		return -1;
	snprintf(path, sizeof(path), "%s/account.json", folder);
	rsa_key_of(&key, EVP_RSA_gen(2048), NULL);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	snprintf(path, sizeof(path), "%s/log", folder);
	unlink(path);
	rmdir(folder);
	rsa_key_fini(&key);
	buf_fini(&server.request);
	return 0;
}

static struct vertex *new_vertex(void)
{
	struct vertex *v;

	write_account("service_account", URI, key.pem, 0600);
	answer(200,
		"{\"access_token\":\"ya29.one\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
	server.asked = 0;
	v = vertex_new(path);
	assert_non_null(v);
	return v;
}

static void assert_token(struct vertex *v, const char *wanted)
{
	char token[VERTEX_TOKEN_SIZE];
	struct err e;

	if (vertex_token(v, NULL, token, &e))
		fail_msg("%s", e.message);
	assert_string_equal(token, wanted);
}

static void assert_failure(struct vertex *v, enum err_code code, const char *words)
{
	char token[VERTEX_TOKEN_SIZE];
	struct err e;

	assert_int_equal(vertex_token(v, NULL, token, &e), code);
	assert_string_equal(token, "");
	if (!strstr(e.message, words))
		fail_msg("expected \"%s\" in \"%s\"", words, e.message);
	/* neither the path nor the key goes to a client */
	assert_null(strstr(e.message, folder));
	assert_null(strstr(e.message, "PRIVATE"));
}

/* ---- the tests ---- */

static void the_claim_is_what_rfc_7523_wants_signed_with_the_key(void **state)
{
	static const char begin[] =
		"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
	struct vertex *v = new_vertex();
	struct buf part = { 0 };
	struct slice jwt, head, claims;

	(void)state;
	assert_token(v, "ya29.one");
	assert_string_equal(server.url, URI);
	jwt = buf_slice(&server.request);
	assert_true(slice_starts(jwt, begin));
	jwt = slice_from(jwt, strlen(begin));
	head = slice_cut(&jwt, '.');
	claims = slice_cut(&jwt, '.');
	assert_true(base64_url_read(head, &part));
	assert_true(
		slice_is(buf_slice(&part), "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"kid1\"}"));
	buf_reset(&part);
	assert_true(base64_url_read(claims, &part));
	assert_true(slice_is(buf_slice(&part),
		"{\"iss\":\"gw@p.iam.example\",\"scope\":\"https://www.googleapis.com/auth/"
		"cloud-platform\",\"aud\":\"" URI "\",\"iat\":1767323045,\"exp\":1767326645}"));
	buf_reset(&part);
	assert_true(base64_url_read(jwt, &part));
	assert_true(rsa_key_signed(&key,
		(struct slice){ head.ptr, (size_t)(claims.ptr + claims.len - head.ptr) },
		buf_slice(&part)));
	buf_fini(&part);
	vertex_free(v);
}

static void a_token_is_used_until_five_minutes_before_its_end(void **state)
{
	struct vertex *v = new_vertex();

	(void)state;
	assert_token(v, "ya29.one");
	answer(200, "{\"access_token\":\"ya29.two\",\"expires_in\":3599}");
	mono_ms += 3599000 - VERTEX_EARLY_MS - 1;
	assert_token(v, "ya29.one");
	assert_int_equal(server.asked, 1);
	mono_ms += 1;
	assert_token(v, "ya29.two");
	assert_int_equal(server.asked, 2);
	vertex_free(v);
}

static void a_token_that_holds_serves_while_no_new_one_is_given(void **state)
{
	struct vertex *v = new_vertex();

	(void)state;
	assert_token(v, "ya29.one");
	answer(503, "busy");
	mono_ms += 3599000 - VERTEX_EARLY_MS;
	assert_token(v, "ya29.one");
	assert_token(v, "ya29.one"); /* and not every request asks again */
	assert_int_equal(server.asked, 2);
	mono_ms += 30000;
	assert_token(v, "ya29.one");
	assert_int_equal(server.asked, 3);
	mono_ms += VERTEX_EARLY_MS - 30000;
	assert_failure(v, ERR_UPSTREAM_STATUS, "status 503");
	vertex_free(v);
}

static void a_short_life_is_used_by_half(void **state)
{
	struct vertex *v = new_vertex();

	(void)state;
	answer(200, "{\"access_token\":\"short\",\"expires_in\":60}");
	assert_token(v, "short");
	mono_ms += 29999;
	assert_token(v, "short");
	assert_int_equal(server.asked, 1);
	mono_ms += 1;
	assert_token(v, "short");
	assert_int_equal(server.asked, 2);
	vertex_free(v);
}

static atomic_int asking;

static void *ask(void *arg)
{
	char token[VERTEX_TOKEN_SIZE];

	asking++;
	return (void *)(intptr_t)vertex_token(arg, NULL, token, NULL);
}

/* Starts threads that all want a token, and lets the one answer come when all are waiting. */
static void ask_together(struct vertex *v, enum err_code expected)
{
	pthread_t threads[20];
	void *rc;

	server.held = true;
	asking = 0;
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, v), 0);
	while (!server.asked || asking < 20)
		usleep(100);
	usleep(20000); /* more than one would ask by now */
	assert_int_equal(server.asked, 1);
	server.held = false;
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(pthread_join(threads[i], &rc), 0);
		assert_int_equal((intptr_t)rc, expected);
	}
}

static void one_fetch_serves_all_who_wait(void **state)
{
	struct vertex *v = new_vertex();

	(void)state;
	ask_together(v, ERR_OK);
	assert_int_equal(server.asked, 1);
	vertex_free(v);
}

static void a_failed_fetch_fails_all_who_waited_for_it(void **state)
{
	struct vertex *v = new_vertex();

	(void)state;
	server.failure = ERR_UPSTREAM_CONNECT;
	ask_together(v, ERR_UPSTREAM_CONNECT);
	/* Some may have come when it had ended: nobody waits for twenty fetches in a row. */
	assert_in_range(server.asked, 1, 19);
	answer(200, "{\"access_token\":\"ya29.one\"}");
	assert_token(v, "ya29.one"); /* and the next one tries again */
	vertex_free(v);
}

static void a_refused_token_is_replaced_unless_it_is_young(void **state)
{
	struct vertex *v = new_vertex();

	(void)state;
	assert_token(v, "ya29.one");
	answer(200, "{\"access_token\":\"ya29.two\",\"expires_in\":3599}");
	mono_ms += 60000;
	vertex_refused(v, "ya29.one");
	assert_token(v, "ya29.one"); /* a right that is missing is missing for a new one, too */
	mono_ms += 1;
	vertex_refused(v, "another");
	assert_token(v, "ya29.one");
	vertex_refused(v, "ya29.one");
	assert_token(v, "ya29.two");
	vertex_free(v);
}

static void an_account_that_is_refused_is_told_in_googles_words(void **state)
{
	struct vertex *v = new_vertex();
	char token[VERTEX_TOKEN_SIZE];
	struct err e;

	(void)state;
	answer(400,
		"{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}");
	assert_failure(v, ERR_UPSTREAM_STATUS, "status 400, invalid_grant: Invalid JWT Signature.");
	assert_failure(v, ERR_UPSTREAM_STATUS, VERTEX_VARIABLE);
	(void)!vertex_token(v, NULL, token, &e);
	assert_int_equal(err_status(&e), 503);
	assert_int_equal(e.upstream_status, 400);
	assert_false(err_may_retry(&e));
	answer(500, "<html>");
	assert_failure(v, ERR_UPSTREAM_STATUS, "status 500, no reason given");
	(void)!vertex_token(v, NULL, token, &e);
	assert_true(err_may_retry(&e));
	vertex_free(v);
}

static void what_is_no_token_is_refused(void **state)
{
	static const char *const rows[] = { "", "null", "[]", "{}", "{\"access_token\":\"\"}",
		"{\"access_token\":7}", "{\"access_token\":\"a b\"}",
		"{\"access_token\":\"a\\r\\nX: y\"}", "{\"access_token\":\"\\u00e9\"}" };
	struct vertex *v = new_vertex();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i]);
		answer(200, rows[i]);
		assert_failure(v, ERR_UPSTREAM_INVALID, "no access token");
	}
	vertex_free(v);
}

static void a_file_that_cannot_serve_is_told_with_what_to_do(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "not json", "is not JSON" },
		{ "{}", "\"type\" must be \"service_account\"" },
		{ "{\"type\":\"authorized_user\"}", "\"type\" must be \"service_account\"" },
		{ "{\"type\":\"service_account\"}", "has no \"client_email\"" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a@b\"}", "\"token_uri\"" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"token_uri\":"
		  "\"http://oauth2.example/token\"}",
			"begins with https://" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"token_uri\":"
		  "\"https://h/t\\r\\nX: y\"}",
			"begins with https://" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"token_uri\":"
		  "\"https://h/t\"}",
			"has no \"private_key\"" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"token_uri\":"
		  "\"https://h/t\",\"private_key\":\"-----BEGIN PRIVATE KEY-----\\n\"}",
			"no RSA key" },
	};
	struct vertex *v = new_vertex();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].text);
		write_file(rows[i].text, 0600);
		assert_failure(v, ERR_CONF, rows[i].words);
	}
	write_account("service_account", URI, key.pem, 0620);
	assert_failure(v, ERR_CONF, "can be written by others");
	write_account("service_account", URI, key.pem, 0602);
	assert_failure(v, ERR_CONF, "can be written by others");
	unlink(path);
	assert_failure(v, ERR_CONF, "does not exist");
	assert_int_equal(server.asked, 0);
	vertex_free(v);
	v = vertex_new(folder);
	assert_failure(v, ERR_CONF, "is not a file");
	vertex_free(v);
}

static void a_file_that_others_read_serves_with_a_warning(void **state)
{
	struct vertex *v = new_vertex();
	char text[4096] = "", log[64];
	FILE *f;

	(void)state;
	write_account("service_account", URI, key.pem, 0644);
	assert_token(v, "ya29.one");
	snprintf(log, sizeof(log), "%s/log", folder);
	f = fopen(log, "r");
	assert_non_null(f);
	fseek(f, -300, SEEK_END);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_non_null(strstr(text, "can be read by others; run: chmod o-r"));
	vertex_free(v);
}

static void a_new_key_counts_without_a_restart(void **state)
{
	struct vertex *v = new_vertex();
	struct rsa_key other;
	struct buf signature = { 0 };
	struct slice jwt, text;

	(void)state;
	answer(400, "{\"error\":\"invalid_grant\"}");
	assert_failure(v, ERR_UPSTREAM_STATUS, "invalid_grant");
	rsa_key_of(&other, EVP_RSA_gen(2048), NULL);
	write_account("service_account", "http://127.0.0.1:1/token", other.pem, 0400);
	answer(200, "{\"access_token\":\"ya29.new\"}");
	assert_token(v, "ya29.new");
	assert_string_equal(server.url, "http://127.0.0.1:1/token");
	jwt = buf_slice(&server.request);
	slice_cut(&jwt, '&');
	slice_cut(&jwt, '=');
	text = jwt;
	slice_cut(&jwt, '.');
	slice_cut(&jwt, '.');
	assert_true(base64_url_read(jwt, &signature));
	assert_true(rsa_key_signed(&other, slice_first(text, (size_t)(jwt.ptr - text.ptr) - 1),
		buf_slice(&signature)));
	buf_fini(&signature);
	rsa_key_fini(&other);
	vertex_free(v);
}

static void a_file_has_one_account_in_a_process(void **state)
{
	struct vertex *v = vertex_of(path);

	(void)state;
	assert_non_null(v);
	assert_ptr_equal(vertex_of(path), v);
	assert_ptr_not_equal(vertex_of("/another"), v);
	assert_ptr_equal(vertex_of(path), v);
}

/* What a caller wrote never reaches the operator's log as a file's fault, nor names a setting. */
static void an_account_may_be_a_callers_own_text(void **state)
{
	struct vertex *v = new_vertex(); /* writes the file */
	struct vertex *own, *bad = vertex_new_of_text(SLICE("{\"type\":\"service_account\"}"));
	struct buf text = { 0 };
	char bytes[8192] = "";
	FILE *f = fopen(path, "rb");

	(void)state;
	assert_non_null(f);
	buf_append(&text, bytes, fread(bytes, 1, sizeof(bytes), f));
	fclose(f);
	own = vertex_new_of_text(buf_slice(&text));
	assert_non_null(own);
	assert_token(own, "ya29.one");
	assert_failure(bad, ERR_MODEL_UNAVAILABLE, "[BYOK] the service account in your key");
	vertex_free(own);
	vertex_free(bad);
	vertex_free(v);
	buf_fini(&text);
}

static void ending_nothing_does_nothing(void **state)
{
	(void)state;
	vertex_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_claim_is_what_rfc_7523_wants_signed_with_the_key),
		cmocka_unit_test(a_token_is_used_until_five_minutes_before_its_end),
		cmocka_unit_test(a_token_that_holds_serves_while_no_new_one_is_given),
		cmocka_unit_test(a_short_life_is_used_by_half),
		cmocka_unit_test(one_fetch_serves_all_who_wait),
		cmocka_unit_test(a_failed_fetch_fails_all_who_waited_for_it),
		cmocka_unit_test(a_refused_token_is_replaced_unless_it_is_young),
		cmocka_unit_test(an_account_that_is_refused_is_told_in_googles_words),
		cmocka_unit_test(what_is_no_token_is_refused),
		cmocka_unit_test(a_file_that_cannot_serve_is_told_with_what_to_do),
		cmocka_unit_test(a_file_that_others_read_serves_with_a_warning),
		cmocka_unit_test(a_new_key_counts_without_a_restart),
		cmocka_unit_test(a_file_has_one_account_in_a_process),
		cmocka_unit_test(an_account_may_be_a_callers_own_text),
		cmocka_unit_test(ending_nothing_does_nothing),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
