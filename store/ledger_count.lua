-- store/ledger_count.lua - begins with ledger.lua and ledger_ends.lua. Counts records, each once.
--
-- ARGV: STORE POSITION SEGMENT {RECORD SUBJECT SUBJECT SUBJECT SUBJECT SUBJECT PAYER MONTH CLASS}…
-- Answers 0 for each that was counted, 1 for each that had been before. With a position, the
-- store's journal is known up to there; with a segment, in which the records are or
-- after which, answers 2 if they may be among those that are, or will be, added as sums.
-- Numbers in store/record.h are offsets from 0, here from 1.

local STREAM = 200000 -- records, about

local function count_in_window(a, kind, window, cost)
	local spent, before = kind .. '_spent', kind .. '_before'
	if window == a[kind] then
		a[spent] = add(a[spent], cost)
	elseif window == a[kind] - 1 then
		a[before] = add(a[before], cost)
	else
		a[before] = window == a[kind] + 1 and a[spent] or 0
		a[spent] = cost
		a[kind] = window
	end
end

-- The day's row with the request added, and how many had its time to first token.
local function count_usage(key, field, class, r)
	local raw, had = call('HGET', key, field), class >= 0 and call('HGET', key, field .. string.char(class))
	if raw and #raw ~= 112 or had and not tonumber(had) then
		error(key .. ' has a row that the ledger did not write', 0)
	end
	local u = { struct.unpack('<i8i8i8i8i8i8i8i8i8i8i8i8i8i8', raw or string.rep('\0', 112)) }
	local cost, upstream = struct.unpack('<i8i8', r, 97)
	local words = { struct.unpack('<I4I4I4I4I4I4I4', r, 121) } -- six of tokens, and the latency
	local status, flags, state, attempts = struct.unpack('<HHBB', r, 169)
	u[1] = u[1] + 1
	u[2] = u[2] + (status >= 400 and 1 or 0)
	u[3] = u[3] + ((state == 2 or state == 3) and 1 or 0) -- estimated, partial
	u[4] = u[4] + floor(flags / 2) % 2 -- a hit of the cache
	u[5] = add(u[5], cost)
	u[6] = add(u[6], upstream)
	for i = 1, 7 do
		u[6 + i] = add(u[6 + i], words[i])
	end
	u[14] = u[14] + attempts
	return struct.pack('<i8i8i8i8i8i8i8i8i8i8i8i8i8i8', unpack(u, 1, 14)),
		had and math.min(had + 1, 4294967295) or 1
end

local function settle(r, id, at)
	local wall, month, class = struct.unpack('<i8', r, 25), tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
	local day = floor(wall / 86400000)
	local ids, usage = root .. 'ids:' .. day, root .. 'usage:' .. day
	local hold = string.sub(id, 1, 8) .. string.sub(r, 161, 168)
	local field = string.sub(r, 41, 64) .. string.sub(r, 73, 80) .. string.sub(r, 65, 72)
	if call('HEXISTS', ids, id) == 1 then
		return 1
	end
	local cost, prompt = struct.unpack('<i8', r, 97), struct.unpack('<I4', r, 121)
	local completion, status = struct.unpack('<I4', r, 137), struct.unpack('<H', r, 169)
	for i = at + 1, at + 5 do
		local subject = ARGV[i]
		if subject ~= '' then
			local a = account(subject)
			if subject == ARGV[at + 6] then
				a.charged = add(a.charged, cost)
			end
			a.spent = add(a.spent, cost)
			count_in_window(a, 'day', day, cost)
			count_in_window(a, 'month', month, cost)
			a.requests = add(a.requests, 1)
			a.failed = add(a.failed, status >= 400 and 1 or 0)
			a.prompt = add(a.prompt, prompt)
			a.completion = add(a.completion, completion)
			a.changed = true
		end
	end
	local row, had = count_usage(usage, field, class, r)
	local held = end_lease(hold, prompt + completion)
	check_kind('stream', 'stream')
	local place = call('XADD', root .. 'stream', 'MAXLEN', '~', STREAM, '*', 'r', r)
	call('HSET', ids, id, place)
	call('EXPIRE', ids, 3024000) -- 35 days after the last request of the day
	if class >= 0 then
		call('HSET', usage, field, row, field .. string.char(class), had)
	else
		call('HSET', usage, field, row)
	end
	save(0)
	if held then
		forget_lease(hold)
	end
	return 0
end

local function credit(r, id, at)
	local subject, microusd = ARGV[at + 1], struct.unpack('<i8', r, 49)
	if call('HEXISTS', root .. 'credits', id) == 1 then
		return 1
	end
	local a = account(subject)
	a.credited, a.changed = add(a.credited, microusd), true
	check_kind('stream', 'stream')
	call('XADD', root .. 'stream', 'MAXLEN', '~', STREAM, '*', 'r', r)
	call('HSET', root .. 'credits', id, string.format('%s %.0f', subject, microusd))
	save(0)
	return 0
end

local out = {}
if ARGV[2] ~= '' then
	check_kind('shipped', 'hash')
end
if ARGV[3] ~= '' then
	local base = string.match(call('HGET', root .. 'shipped', ARGV[1]) or '', '(%d+)$')
	if not base or tonumber(ARGV[3]) < tonumber(base) then
		return { 2 }
	end
end
for at = 4, #ARGV, 9 do
	local r = ARGV[at]
	local id, kind = string.sub(r, 9, 24), string.byte(r, 33)
	accounts, meters = {}, {}
	if kind == 2 then
		out[#out + 1] = settle(r, id, at)
	elseif kind == 3 then
		out[#out + 1] = credit(r, id, at)
	else -- a name: 8 bytes, and behind its length the text
		local text = string.sub(r, 57, 56 + struct.unpack('<I4', r, 49))
		out[#out + 1] = 1 - call('HSETNX', root .. 'names', string.sub(r, 41, 48), text)
	end
end
if ARGV[2] ~= '' then
	call('HSET', root .. 'shipped', ARGV[1], ARGV[2])
end
return out
