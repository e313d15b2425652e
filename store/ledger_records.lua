-- store/ledger_records.lua - goes on where ledger.lua ends: what ends a reservation, what counts a
-- record, and what is asked; the last lines choose by ARGV[1].

-- ---- ends ----

-- Gives back what a reservation holds, in memory; false when it has ended before.
local function end_lease(id, tokens)
	local raw = call('HGET', root .. 'leases', id)
	if not raw then
		return false
	end
	check_kind('deadlines', 'zset')
	local microusd, taken, rest = string.match(raw, '^%d+ (%d+) (%d+)(.*)$')
	if not microusd then
		error(root .. 'leases: a reservation is not what the ledger wrote', 0)
	end
	microusd, taken = tonumber(microusd), tonumber(taken)
	for what, subject in string.gmatch(rest, ' (%d)(%x+)') do
		what = tonumber(what)
		if what % 2 == MONEY then
			local a = account(subject)
			a[RESERVED], a[HOLDS], a.changed = a[RESERVED] - microusd, a[HOLDS] - 1, true
		end
		local m = what >= TOKENS and meter(subject)
		if m and m.exists then
			if what % 4 >= TOKENS then
				m[TOKENS_USED] = math.max(add(m[TOKENS_USED], (tokens - taken) * UNIT), 0)
			end
			if what >= RUNNING and m[AT_ONCE] > 0 then
				m[AT_ONCE] = m[AT_ONCE] - 1
			end
			m.changed = true
		end
	end
	return true
end

local function forget_lease(id)
	call('HDEL', root .. 'leases', id)
	call('ZREM', root .. 'deadlines', id)
end

-- release HOLD…, and reap TIME, which does the same to what is overdue. Answer how many.
local function release(ids)
	local ended = 0
	for _, id in ipairs(ids) do
		if end_lease(id, 0) then
			save(0)
			forget_lease(id)
			ended = ended + 1
		end
	end
	return ended
end

local function reap()
	local _, mono = times(ARGV[2])
	local due = call('ZRANGEBYSCORE', root .. 'deadlines', '-inf', string.format('(%.0f', mono),
		'LIMIT', 0, 256)
	local ended = release(due)
	-- One whose reservation is not there would be found again and again.
	for _, id in ipairs(due) do
		call('ZREM', root .. 'deadlines', id)
	end
	return ended
end

-- ---- records ----

local function count_usage(r, day, class, cost, upstream, status, state)
	local key = root .. 'usage:' .. day
	local field = string.sub(r, 41, 64) .. string.sub(r, 73, 80) .. string.sub(r, 65, 72)
	local raw = call('HGET', key, field)
	local u = {}
	if raw and #raw ~= USAGE_BYTES then
		error(key .. ' has a row that the ledger did not write', 0)
	elseif raw then
		u = { struct.unpack(USAGE, raw) }
	else
		for i = 1, 54 do
			u[i] = 0
		end
	end
	local _, flags = struct.unpack('<HH', r, 169)
	local attempts = string.byte(r, 174)
	u[1] = u[1] + 1
	u[2] = u[2] + (status >= 400 and 1 or 0)
	u[3] = u[3] + ((state == 2 or state == 3) and 1 or 0)
	u[4] = u[4] + (floor(flags / 2) % 2)
	u[5] = add(u[5], cost)
	u[6] = add(u[6], upstream)
	local words = { struct.unpack('<I4I4I4I4I4I4I4', r, 121) }
	for i = 1, 7 do -- six classes of tokens and the latency
		u[6 + i] = add(u[6 + i], words[i])
	end
	u[14] = u[14] + attempts
	if class >= 0 and u[15 + class] < 4294967295 then
		u[15 + class] = u[15 + class] + 1
	end
	return key, field, struct.pack(USAGE, unpack(u, 1, 54))
end

local function apply_settle(r, id, at)
	local cost, upstream = struct.unpack('<i8i8', r, 97)
	local prompt = struct.unpack('<I4', r, 121)
	local completion = struct.unpack('<I4', r, 137)
	local status = struct.unpack('<H', r, 169)
	local day = floor(struct.unpack('<i8', r, 25) / DAY_MS)
	local bucket, lease = root .. 'ids:' .. day, string.sub(id, 1, 8) .. string.sub(r, 161, 168)
	local payer, month = ARGV[at + 6], tonumber(ARGV[at + 7])
	if call('HEXISTS', bucket, id) == 1 then
		return 1
	end
	for i = at + 1, at + 5 do
		local subject = ARGV[i]
		if subject ~= '' then
			local a = account(subject)
			if subject == payer then
				a[CHARGED] = add(a[CHARGED], cost)
			end
			a[SPENT] = add(a[SPENT], cost)
			count_in_window(a, DAY, day, cost)
			count_in_window(a, MONTH, month, cost)
			a[REQUESTS] = add(a[REQUESTS], 1)
			a[FAILED] = add(a[FAILED], status >= 400 and 1 or 0)
			a[PROMPT] = add(a[PROMPT], prompt)
			a[COMPLETION] = add(a[COMPLETION], completion)
			a.changed = true
		end
	end
	local key, field, row = count_usage(r, day, tonumber(ARGV[at + 8]), cost, upstream, status,
		string.byte(r, 173))
	local had_lease = end_lease(lease, prompt + completion)
	check_kind('stream', 'stream')
	local place = call('XADD', root .. 'stream', 'MAXLEN', '~', STREAM, '*', 'r', r)
	call('HSET', bucket, id, place)
	call('EXPIRE', bucket, KEEP_S)
	call('HSET', key, field, row)
	save(0)
	if had_lease then
		forget_lease(lease)
	end
	return 0
end

local function apply_credit(r, id, at)
	local subject, microusd = ARGV[at + 1], struct.unpack('<i8', r, 49)
	if call('HEXISTS', root .. 'credits', id) == 1 then
		return 1
	end
	local a = account(subject)
	a[CREDITED], a.changed = add(a[CREDITED], microusd), true
	check_kind('stream', 'stream')
	call('HSET', root .. 'credits', id, string.format('%s %.0f', subject, microusd))
	call('XADD', root .. 'stream', 'MAXLEN', '~', STREAM, '*', 'r', r)
	save(0)
	return 0
end

local function apply_name(r)
	local length = struct.unpack('<I4', r, 49)
	return 1 - call('HSETNX', root .. 'names', string.sub(r, 41, 48), string.sub(r, 57, 56 + length))
end

-- apply STORE POSITION {RECORD SUBJECT SUBJECT SUBJECT SUBJECT SUBJECT PAYER MONTH CLASS}…
-- Answers 0 for each that was counted, 1 for each that had been before. With a store, the
-- position of its journal moves when all have been.
local function apply()
	local out = {}
	if ARGV[2] ~= '' then
		check_kind('shipped', 'hash')
	end
	for at = 4, #ARGV, 9 do
		local r = ARGV[at]
		local id, kind = string.sub(r, 9, 24), string.byte(r, 33)
		accounts, meters = {}, {}
		if kind == 2 then
			out[#out + 1] = apply_settle(r, id, at)
		elseif kind == 3 then
			out[#out + 1] = apply_credit(r, id, at)
		else
			out[#out + 1] = apply_name(r)
		end
	end
	if ARGV[2] ~= '' then
		call('HSET', root .. 'shipped', ARGV[2], ARGV[3])
	end
	return out
end

-- missing STORE POSITION {KEY ID}…: which (from 0) are not known? When all are, the position
-- moves. Without a store it only asks.
local function missing()
	local out = {}
	for i = 4, #ARGV, 2 do
		if call('HEXISTS', root .. ARGV[i], ARGV[i + 1]) == 0 then
			out[#out + 1] = (i - 4) / 2
		end
	end
	if #out == 0 and ARGV[2] ~= '' then
		call('HSET', root .. 'shipped', ARGV[2], ARGV[3])
	end
	return out
end

-- may_credit ID SUBJECT MICROUSD: 0, 1 = was counted, 2 = the sum would be too large.
local function may_credit()
	local sum = account(ARGV[3])[CREDITED] + tonumber(ARGV[4])
	if call('HEXISTS', root .. 'credits', ARGV[2]) == 1 then
		return 1
	end
	return (sum > MAX or sum < -MAX) and 2 or 0
end

-- find TIME ID: the record of a request, as long as the stream has it.
local function find()
	local today = floor(times(ARGV[2]) / DAY_MS)
	for day = today + 1, today - KEEP_S / 86400, -1 do
		local place = call('HGET', root .. 'ids:' .. day, ARGV[3])
		if place then
			local found = call('XRANGE', root .. 'stream', place, place)[1]
			return found and found[2][2] or false
		end
	end
	return false
end

-- ---- a host that had books before ----

-- What a account spent in one window, when its latest may be another.
local function in_window(a, latest, window)
	if window == a[latest] then
		return a[latest + 1]
	end
	return window == a[latest] - 1 and a[latest + 2] or 0
end

local function merge(a, b)
	for _, latest in ipairs({ DAY, MONTH }) do
		local last = math.max(a[latest], b[latest])
		local spent = add(in_window(a, latest, last), in_window(b, latest, last))
		local before = add(in_window(a, latest, last - 1), in_window(b, latest, last - 1))
		a[latest], a[latest + 1], a[latest + 2] = last, spent, before
	end
	for _, i in ipairs({ CREDITED, CHARGED, SPENT, REQUESTS, FAILED, PROMPT, COMPLETION }) do
		a[i] = add(a[i], b[i])
	end
	a.changed = true
end

-- base_put STORE FOLDED {SUBJECT ACCOUNT}…: lays accounts ready. Those of another state of the
-- books, whose sender was cut off, are dropped first; answers the state that is being added when
-- all are there already, else 0.
local function base_put()
	local key = root .. 'base:' .. ARGV[2]
	local complete = call('HGET', key, 'complete')
	if complete then
		return tonumber(complete)
	end
	if call('HGET', key, 'folded') ~= ARGV[3] then
		call('DEL', key)
		call('HSET', key, 'folded', ARGV[3])
	end
	for i = 4, #ARGV, 2 do
		call('HSET', key, ARGV[i], ARGV[i + 1])
	end
	return 0
end

-- base_add STORE FOLDED N: all N are there; adds some of them. Answers how many are left; with the
-- last of them the journal begins behind the state. A Redis that has lost some of what was laid
-- ready refuses.
local function base_add()
	local key = root .. 'base:' .. ARGV[2]
	check_kind('shipped', 'hash')
	if call('HEXISTS', root .. 'shipped', ARGV[2]) == 1 then
		return 0
	end
	if call('HGET', key, 'complete') ~= ARGV[3]
		and (call('HGET', key, 'folded') ~= ARGV[3] or call('HLEN', key) - 1 ~= tonumber(ARGV[4])) then
		error(key .. ' has lost accounts that were laid ready', 0)
	end
	local cursor, subjects = '0', {}
	repeat -- where much was removed already, the first places are empty
		local found = call('HSCAN', key, cursor, 'COUNT', 64)
		cursor = found[1]
		for i = 1, #found[2], 2 do
			if #found[2][i] == 16 and #subjects < 256 and not accounts[found[2][i]] then
				subjects[#subjects + 1] = found[2][i]
				merge(account(found[2][i]), { struct.unpack(ACCOUNT, found[2][i + 1]) })
			end
		end
	until #subjects > 0 or cursor == '0'
	call('HSET', key, 'complete', ARGV[3])
	save(0)
	for _, subject in ipairs(subjects) do
		call('HDEL', key, subject)
	end
	local left = call('HLEN', key) - 2 -- without the two that are no subjects
	if left <= 0 then
		local segment = string.format('%.0f', ARGV[3] + 1)
		call('HSET', root .. 'shipped', ARGV[2], segment .. ' 0 ' .. segment)
		call('DEL', key)
		return 0
	end
	return left
end

if op == 'reserve' then
	return reserve()
elseif op == 'apply' then
	return apply()
elseif op == 'release' then
	return release({ unpack(ARGV, 2) })
elseif op == 'reap' then
	return reap()
elseif op == 'missing' then
	return missing()
elseif op == 'may_credit' then
	return may_credit()
elseif op == 'find' then
	return find()
elseif op == 'base_put' then
	return base_put()
elseif op == 'base_add' then
	return base_add()
end
return redis.error_reply('store/ledger.lua knows no ' .. tostring(op))
