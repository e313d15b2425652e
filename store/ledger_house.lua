-- store/ledger_house.lua - begins with ledger.lua and ledger_ends.lua. What is not asked with every
-- request; ARGV[1] says what.

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

-- missing STORE POSITION {KEY ID}…: which (from 0) are not known? When all are, the position
-- moves. Without a position it only asks.
local function missing()
	local out = {}
	for i = 4, #ARGV, 2 do
		if call('HEXISTS', root .. ARGV[i], ARGV[i + 1]) == 0 then
			out[#out + 1] = (i - 4) / 2
		end
	end
	if #out == 0 and ARGV[3] ~= '' then
		call('HSET', root .. 'shipped', ARGV[2], ARGV[3])
	end
	return out
end

-- may_credit ID SUBJECT MICROUSD: 0, 1 = was counted, 2 = the sum would be too large.
local function may_credit()
	local sum = account(ARGV[3]).credited + tonumber(ARGV[4])
	if call('HEXISTS', root .. 'credits', ARGV[2]) == 1 then
		return 1
	end
	return (sum > MAX or sum < -MAX) and 2 or 0
end

-- find TIME ID: the record of a request, as long as the stream has it.
local function find()
	local today = floor(times(ARGV[2]) / 86400000)
	for day = today + 1, today - 35, -1 do
		local place = call('HGET', root .. 'ids:' .. day, ARGV[3])
		if place then
			local found = call('XRANGE', root .. 'stream', place, place)[1]
			return found and found[2][2] or false
		end
	end
	return false
end

-- ---- a host that had books before ----

-- What was spent in one window, when the latest may be another.
local function in_window(a, kind, window)
	if window == a[kind] then
		return a[kind .. '_spent']
	end
	return window == a[kind] - 1 and a[kind .. '_before'] or 0
end

local function merge(a, b)
	for _, kind in ipairs({ 'day', 'month' }) do
		local last = math.max(a[kind], b[kind])
		local spent = add(in_window(a, kind, last), in_window(b, kind, last))
		local before = add(in_window(a, kind, last - 1), in_window(b, kind, last - 1))
		a[kind], a[kind .. '_spent'], a[kind .. '_before'] = last, spent, before
	end
	for _, sum in ipairs({ 'credited', 'charged', 'spent', 'requests', 'failed', 'prompt',
		'completion' }) do
		a[sum] = add(a[sum], b[sum])
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
				merge(account(found[2][i]), words_of(found[2][i + 1]))
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

local what = { reap = reap, missing = missing, may_credit = may_credit, find = find,
	base_put = base_put, base_add = base_add }
if ARGV[1] == 'release' then
	return release({ unpack(ARGV, 2) })
end
return what[ARGV[1]]()
