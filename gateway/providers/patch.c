#include "gateway/providers/patch.h"

void patch_cut(struct patch *p, const char *from, const char *to)
{
	buf_append(p->out, p->done, (size_t)(from - p->done));
	p->done = to;
}

void patch_value(struct patch *p, struct json_value v, const char *with)
{
	patch_cut(p, v.raw.ptr, v.raw.ptr + v.raw.len);
	buf_str(p->out, with);
}

void patch_end(struct patch *p, struct slice text)
{
	patch_cut(p, text.ptr + text.len, text.ptr + text.len);
}

void patch_list_begin(struct patch_list *m, struct json_value container)
{
	*m = (struct patch_list){
		.end = container.raw.ptr + 1,
		.close = container.raw.ptr + container.raw.len - 1,
	};
}

void patch_list_keep(struct patch *p, struct patch_list *m, struct slice key, struct json_value v)
{
	if (m->gap) {
		patch_cut(p, m->end, key.len ? key.ptr : v.raw.ptr);
		if (m->any)
			buf_char(p->out, ',');
	}
	m->gap = false;
	m->any = true;
	m->end = v.raw.ptr + v.raw.len;
}

void patch_list_add(struct patch *p, struct patch_list *m)
{
	patch_cut(p, m->end, m->close);
	if (m->any)
		buf_char(p->out, ',');
	m->any = true;
	m->gap = false;
	m->end = m->close;
}

void patch_list_end(struct patch *p, struct patch_list *m)
{
	if (m->gap)
		patch_cut(p, m->end, m->close);
}
