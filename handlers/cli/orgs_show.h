/* handlers/cli/orgs_show.h - organisations and their members as tables, lines and JSON, for
 * `tollgate orgs`. What failed is said on stderr; the exit code is returned.
 */
#ifndef HANDLERS_CLI_ORGS_SHOW_H
#define HANDLERS_CLI_ORGS_SHOW_H

#include "store/people.h"

int orgs_show_list(struct people_file *f, bool json);
int orgs_show_one(struct people_file *f, const char *which, bool json);
int orgs_show_members(struct people_file *f, const char *which, bool json);

#endif
