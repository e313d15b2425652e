#include "gateway/books.h"

#include "store/home.h"

enum err_code books_open(const struct conf *conf, struct ledger **out, struct err *e)
{
	struct ledger_conf settings = {
		.home = conf_str(conf, CONF_HOME),
		.sync_ms = conf_int(conf, CONF_SYNC),
		.keep = conf_int(conf, CONF_JOURNAL_KEEP) == 1 ? LEDGER_COMPRESS : LEDGER_DROP,
	};
	enum err_code rc = home_make(settings.home, e);

	*out = NULL;
	return rc ? rc : ledger_open(out, &settings, ledger_now(), e);
}
