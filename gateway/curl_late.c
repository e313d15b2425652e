#include "gateway/curl_late.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>

/* Macros that check the arguments of callers; here are the functions behind them. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt
#undef curl_share_setopt

#define LIBRARY "libcurl.so.4"

#define FUNCTIONS(X) \
	X(curl_global_init) \
	X(curl_getdate) \
	X(curl_easy_init) \
	X(curl_easy_cleanup) \
	X(curl_easy_setopt) \
	X(curl_easy_getinfo) \
	X(curl_easy_pause) \
	X(curl_easy_strerror) \
	X(curl_url) \
	X(curl_url_cleanup) \
	X(curl_url_set) \
	X(curl_multi_init) \
	X(curl_multi_cleanup) \
	X(curl_multi_setopt) \
	X(curl_multi_add_handle) \
	X(curl_multi_remove_handle) \
	X(curl_multi_assign) \
	X(curl_multi_socket_action) \
	X(curl_multi_info_read) \
	X(curl_share_init) \
	X(curl_share_setopt) \
	X(curl_share_cleanup)

static struct {
	pthread_mutex_t lock;
	void *handle; /* NULL = not loaded; what is below is set before it */
#define MEMBER(name) __typeof__(name) *(name);
	FUNCTIONS(MEMBER)
#undef MEMBER
} lib = { .lock = PTHREAD_MUTEX_INITIALIZER };

static enum err_code load(struct err *e)
{
	const char *missing = NULL;
	void *handle;

	errno = 0;
	/* Lazily, as what is linked: to bind all of it at once costs a third more. */
	handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
	if (!handle && (errno == EMFILE || errno == ENFILE))
		return err_errno(e, errno, "libcurl cannot be loaded");
	if (!handle)
		return err_set(e, ERR_INTERNAL,
			"libcurl cannot be loaded: install the package libcurl4 (%s)", dlerror());
#define FIND(name) \
	lib.name = (__typeof__(lib.name))dlsym(handle, #name); \
	if (!lib.name) \
		missing = #name;
	FUNCTIONS(FIND)
#undef FIND
	if (missing) {
		dlclose(handle);
		return err_set(e, ERR_INTERNAL,
			LIBRARY " has no %s: install the package libcurl4 of this system", missing);
	}
	lib.handle = handle;
	return ERR_OK;
}

enum err_code curl_late_load(struct err *e)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&lib.lock);
	if (!lib.handle)
		rc = load(e);
	pthread_mutex_unlock(&lib.lock);
	return rc;
}

/* ---- in libcurl's stead ---- */

CURLcode curl_global_init(long flags)
{
	return lib.curl_global_init(flags);
}

time_t curl_getdate(const char *text, const time_t *unused)
{
	return lib.curl_getdate(text, unused);
}

CURL *curl_easy_init(void)
{
	return lib.curl_easy_init();
}

void curl_easy_cleanup(CURL *c)
{
	lib.curl_easy_cleanup(c);
}

CURLcode curl_easy_setopt(CURL *c, CURLoption option, ...)
{
	CURLcode rc;
	va_list args;

	va_start(args, option);
	if (option < CURLOPTTYPE_OBJECTPOINT) {
		long number = va_arg(args, long);
		rc = lib.curl_easy_setopt(c, option, number);
	} else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB) {
		curl_off_t size = va_arg(args, curl_off_t);
		rc = lib.curl_easy_setopt(c, option, size);
	} else {
		void *pointer = va_arg(args, void *);
		rc = lib.curl_easy_setopt(c, option, pointer);
	}
	va_end(args);
	return rc;
}

CURLcode curl_easy_getinfo(CURL *c, CURLINFO what, ...)
{
	CURLcode rc;
	va_list args;

	va_start(args, what);
	rc = lib.curl_easy_getinfo(c, what, va_arg(args, void *));
	va_end(args);
	return rc;
}

CURLcode curl_easy_pause(CURL *c, int what)
{
	return lib.curl_easy_pause(c, what);
}

const char *curl_easy_strerror(CURLcode code)
{
	return lib.curl_easy_strerror(code);
}

CURLU *curl_url(void)
{
	return lib.curl_url();
}

void curl_url_cleanup(CURLU *u)
{
	lib.curl_url_cleanup(u);
}

CURLUcode curl_url_set(CURLU *u, CURLUPart part, const char *text, unsigned flags)
{
	return lib.curl_url_set(u, part, text, flags);
}

CURLM *curl_multi_init(void)
{
	return lib.curl_multi_init();
}

CURLMcode curl_multi_cleanup(CURLM *m)
{
	return lib.curl_multi_cleanup(m);
}

CURLMcode curl_multi_setopt(CURLM *m, CURLMoption option, ...)
{
	CURLMcode rc;
	va_list args;

	va_start(args, option);
	if (option < CURLOPTTYPE_OBJECTPOINT) {
		long number = va_arg(args, long);
		rc = lib.curl_multi_setopt(m, option, number);
	} else {
		void *pointer = va_arg(args, void *);
		rc = lib.curl_multi_setopt(m, option, pointer);
	}
	va_end(args);
	return rc;
}

CURLMcode curl_multi_add_handle(CURLM *m, CURL *c)
{
	return lib.curl_multi_add_handle(m, c);
}

CURLMcode curl_multi_remove_handle(CURLM *m, CURL *c)
{
	return lib.curl_multi_remove_handle(m, c);
}

CURLMcode curl_multi_assign(CURLM *m, curl_socket_t fd, void *data)
{
	return lib.curl_multi_assign(m, fd, data);
}

CURLMcode curl_multi_socket_action(CURLM *m, curl_socket_t fd, int bits, int *running)
{
	return lib.curl_multi_socket_action(m, fd, bits, running);
}

CURLMsg *curl_multi_info_read(CURLM *m, int *left)
{
	return lib.curl_multi_info_read(m, left);
}

CURLSH *curl_share_init(void)
{
	return lib.curl_share_init();
}

/* What is to be shared is an int; locks, which are pointers, are set by nobody here. */
CURLSHcode curl_share_setopt(CURLSH *s, CURLSHoption option, ...)
{
	CURLSHcode rc;
	va_list args;

	va_start(args, option);
	rc = lib.curl_share_setopt(s, option, va_arg(args, int));
	va_end(args);
	return rc;
}

CURLSHcode curl_share_cleanup(CURLSH *s)
{
	return lib.curl_share_cleanup(s);
}
