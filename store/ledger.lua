-- store/ledger.lua - the books of several hosts, in one Redis; the arithmetic is that of
-- account.c, meter.c, admit.c and lease.c, and tests/unit/ledger_conform.c compares the two.
-- ledger_records.lua follows, and both are one script.
--
-- KEYS[1] is what all keys begin with, PREFIX:{PREFIX}: - one slot of a cluster, so that a
-- reservation over key, user and organisation is atomic. ARGV[1] is what to do.
--
--   account:SUBJECT  struct account without its subject, 15 words
--   meter:SUBJECT    struct meter without subject and spare words
--   leases           hash: struct ledger_hold -> deadline, amounts, what it holds
--   deadlines        sorted set: the same by deadline
--   ids:DAY          hash: id of a request settled that day -> its place in the stream
--   stream           the records themselves, the latest of them
--   credits, names   hashes: once for each id, for good
--   usage:DAY        hash: struct usage_key -> struct usage_row
--   shipped          hash: store of a host -> how far its journal is known here
--   base:STORE       hash: accounts of a host that had books before, until they are added
--
-- A script is atomic, but an error in its middle would leave its first half. So everything is
-- read and checked before the first write, and nothing is written that could then fail; Redis
-- itself refuses for want of memory, or as a replica, only at the first write of a script.
-- Numbers are doubles: sums stop at 2^53 - 1 instead of wrapping.

local root, op = KEYS[1], ARGV[1]
local MAX, NEVER = 9007199254740991, 9007199254740992
local DAY_MS, UNIT, PIECE_MS, PIECES = 86400000, 60000, 240000, 16
local KEEP_S = 35 * 86400 -- an id is known so long after the last request of its day
local METER_KEEP_MS = 66 * 60000
local STREAM = 200000 -- records, about
local ACCOUNT, ACCOUNT_BYTES = '<' .. string.rep('i8', 15), 120
local METER, METER_BYTES = '<i8i8i8i8i8' .. string.rep('H', 16) .. 'i8', 80
local USAGE, USAGE_BYTES = '<' .. string.rep('i8', 14) .. string.rep('I4', 40), 272
local MONEY, TOKENS, RUNNING = 1, 2, 4
local floor, call = math.floor, redis.call

-- The words of an account, and of a meter behind which the 16 pieces of its hour stand.
local CREDITED, CHARGED, SPENT, DAY, DAY_SPENT, DAY_BEFORE = 1, 2, 3, 4, 5, 6
local MONTH, MONTH_SPENT, MONTH_BEFORE, REQUESTS, FAILED = 7, 8, 9, 10, 11
local PROMPT, COMPLETION, RESERVED, HOLDS = 12, 13, 14, 15
local REQUESTS_USED, REQUESTS_AT, TOKENS_USED, TOKENS_AT, HOUR_PIECE, HOUR = 1, 2, 3, 4, 5, 6
local AT_ONCE = 22

local function add(a, b)
	local sum = a + b
	return sum > MAX and MAX or sum < -MAX and -MAX or sum
end

-- The time of this server, which is the same for all hosts; tests bring their own.
local function times(given)
	if given ~= '' then
		local wall, mono = string.match(given, '^(%d+) (%d+)$')
		return tonumber(wall), tonumber(mono)
	end
	local t = call('TIME')
	local ms = tonumber(t[1]) * 1000 + floor(tonumber(t[2]) / 1000)
	return ms, ms
end

-- ---- what is read once and written at the end ----

local accounts, meters = {}, {}

local function unpacked(key, format, bytes)
	local raw = call('GET', key)
	if not raw then
		return nil
	end
	if #raw ~= bytes then
		error(key .. ' is not what the ledger wrote: it has ' .. #raw .. ' bytes', 0)
	end
	return { struct.unpack(format, raw) }
end

local function account(subject)
	local a = accounts[subject]
	if not a then
		a = unpacked(root .. 'account:' .. subject, ACCOUNT, ACCOUNT_BYTES)
			or { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
		accounts[subject] = a
	end
	return a
end

local function meter(subject)
	local m = meters[subject]
	if not m then
		m = unpacked(root .. 'meter:' .. subject, METER, METER_BYTES)
		if m then
			m.exists = true
		else
			m = {}
			for i = 1, 22 do
				m[i] = 0
			end
		end
		meters[subject] = m
	end
	return m
end

local function save(ttl_ms)
	for subject, a in pairs(accounts) do
		if a.changed then
			call('SET', root .. 'account:' .. subject, struct.pack(ACCOUNT, unpack(a, 1, 15)))
		end
	end
	for subject, m in pairs(meters) do
		if m.changed then
			local key = root .. 'meter:' .. subject
			local keep = METER_KEEP_MS + ttl_ms
			local left = m.exists and call('PTTL', key) or 0
			call('SET', key, struct.pack(METER, unpack(m, 1, 22)), 'PX', left > keep and left or keep)
		end
	end
	accounts, meters = {}, {}
end

-- What is written without being read: of the right kind?
local function check_kind(key, kind)
	local found = call('TYPE', root .. key).ok
	if found ~= 'none' and found ~= kind then
		error(root .. key .. ' is a ' .. found .. ', not a ' .. kind, 0)
	end
end

-- ---- meters ----

local function used_now(used, at, per_minute, now)
	local elapsed = now > at and now - at or 0
	if elapsed > floor(used / per_minute) then
		return 0
	end
	return used - elapsed * per_minute
end

-- 0 if taken, else the wait.
local function take_bucket(m, used_at, per_minute, n, now)
	if n == 0 then
		return 0
	end
	if n > per_minute then
		return NEVER
	end
	local used, at = used_now(m[used_at], m[used_at + 1], per_minute, now), m[used_at + 1]
	local over = used - (per_minute - n) * UNIT
	if over > 0 then
		return floor((over - 1) / per_minute) + 1 + (at > now and at - now or 0)
	end
	m[used_at] = used + n * UNIT
	if now > at then
		m[used_at + 1] = now
	end
	return 0
end

local function bucket_left(m, used_at, per_minute, now)
	if per_minute <= 0 then
		return 0, 0
	end
	local used = used_now(m[used_at], m[used_at + 1], per_minute, now)
	local full = floor((used + per_minute - 1) / per_minute)
	if used > per_minute * UNIT then
		return 0, full
	end
	return floor((per_minute * UNIT - used) / UNIT), full
end

local function roll(m, now)
	local piece = floor(now / PIECE_MS)
	if piece - m[HOUR_PIECE] > PIECES then
		m[HOUR_PIECE] = piece - PIECES
	end
	while m[HOUR_PIECE] < piece do
		m[HOUR_PIECE] = m[HOUR_PIECE] + 1
		m[HOUR + m[HOUR_PIECE] % PIECES] = 0
	end
end

local function hour_sum(m)
	local sum = 0
	for i = HOUR, HOUR + PIECES - 1 do
		sum = sum + m[i]
	end
	return sum
end

local function hour_wait(m, target, now)
	local sum = hour_sum(m)
	for piece = m[HOUR_PIECE] - PIECES + 1, m[HOUR_PIECE] do
		if piece >= 0 then
			sum = sum - m[HOUR + piece % PIECES]
			if sum <= target then
				return (piece + PIECES) * PIECE_MS - now
			end
		end
	end
	return NEVER
end

local function take_hour(m, per_hour, now)
	if per_hour <= 0 then
		return NEVER
	end
	roll(m, now)
	if hour_sum(m) >= per_hour then
		return hour_wait(m, per_hour - 1, now)
	end
	local at = HOUR + m[HOUR_PIECE] % PIECES
	m[at] = m[at] + 1
	return 0
end

local function hour_left(m, per_hour, now)
	roll(m, now)
	local sum = hour_sum(m)
	return sum >= per_hour and 0 or per_hour - sum, sum > 0 and hour_wait(m, 0, now) or 0
end

-- ---- days and months ----

local function month_of(wall)
	local days = floor(wall / DAY_MS) + 719468
	local era, of_era = floor(days / 146097), days % 146097
	local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524)
		- floor(of_era / 146096)) / 365)
	local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
	return (era * 400 + year) * 12 + floor((5 * of_year + 2) / 153) + 2
end

local function month_end_ms(wall)
	local month = month_of(wall) + 1
	local march_month = (month + 10) % 12
	local year = (month - 2 - march_month) / 12
	local of_era = year % 400
	local days = floor(year / 400) * 146097 + of_era * 365 + floor(of_era / 4)
		- floor(of_era / 100) + floor((153 * march_month + 2) / 5)
	return (days - 719468) * DAY_MS
end

local function spent_in(a, latest, window)
	if window == a[latest] then
		return a[latest + 1]
	elseif window == a[latest] - 1 then
		return a[latest + 2]
	elseif window > a[latest] then
		return 0
	end
	return math.max(a[latest + 1], a[latest + 2])
end

local function count_in_window(a, latest, window, cost)
	if window == a[latest] then
		a[latest + 1] = add(a[latest + 1], cost)
	elseif window == a[latest] - 1 then
		a[latest + 2] = add(a[latest + 2], cost)
	else
		a[latest + 2] = window == a[latest] + 1 and a[latest + 1] or 0
		a[latest + 1] = cost
		a[latest] = window
	end
end

-- ---- the decision ----

-- In the order of enum ledger_limit_kind.
local BALANCE, SPEND_DAY, SPEND_MONTH, REQUESTS_MINUTE, TOKENS_MINUTE = 0, 1, 2, 4, 5
local REQUESTS_HOUR, CONCURRENT = 6, 7

local function unspent(a, limit, wall)
	if limit.kind == BALANCE then
		return add(add(a[CREDITED], -a[CHARGED]), limit.ceiling)
	elseif limit.kind == SPEND_DAY then
		return add(limit.ceiling, -spent_in(a, DAY, floor(wall / DAY_MS)))
	elseif limit.kind == SPEND_MONTH then
		return add(limit.ceiling, -spent_in(a, MONTH, month_of(wall)))
	end
	return add(limit.ceiling, -a[SPENT])
end

local function window_end_ms(kind, wall)
	if kind == SPEND_DAY then
		return (floor(wall / DAY_MS) + 1) * DAY_MS - wall
	elseif kind == SPEND_MONTH then
		return month_end_ms(wall) - wall
	end
	return NEVER
end

local function money_wait(a, limit, microusd, wall)
	local left = unspent(a, limit, wall)
	if microusd <= add(left, -a[RESERVED]) then
		return -1
	elseif microusd <= left then
		return 0
	elseif limit.kind ~= BALANCE and microusd > limit.ceiling then
		return NEVER
	end
	return window_end_ms(limit.kind, wall)
end

local function hold(holds, subject, what)
	local has = holds[subject] or 0
	if has % (2 * what) < what then
		holds[subject] = has + what
		return true
	end
	return false
end

-- -1 when it fits and was taken, else when it will.
local function take(limit, ask, holds)
	local m, wait
	if limit.kind == REQUESTS_MINUTE then
		m = meter(limit.subject)
		wait = take_bucket(m, REQUESTS_USED, limit.ceiling, 1, ask.mono)
	elseif limit.kind == TOKENS_MINUTE then
		m = meter(limit.subject)
		wait = take_bucket(m, TOKENS_USED, limit.ceiling, ask.tokens, ask.mono)
		if wait == 0 then
			hold(holds, limit.subject, TOKENS)
		end
	elseif limit.kind == REQUESTS_HOUR then
		m = meter(limit.subject)
		wait = take_hour(m, limit.ceiling, ask.mono)
	elseif limit.kind == CONCURRENT then
		m = meter(limit.subject)
		if m[AT_ONCE] >= limit.ceiling then
			return limit.ceiling > 0 and 0 or NEVER
		end
		if hold(holds, limit.subject, RUNNING) then
			m[AT_ONCE] = m[AT_ONCE] + 1
		end
		wait = 0
	else
		wait = money_wait(account(limit.subject), limit, ask.microusd, ask.wall)
		if wait < 0 then
			hold(holds, limit.subject, MONEY)
		end
		return wait
	end
	if wait ~= 0 then
		return wait
	end
	m.changed = true
	return -1
end

local function look(limit, ask, reserved_now)
	if limit.kind == REQUESTS_MINUTE then
		return bucket_left(meter(limit.subject), REQUESTS_USED, limit.ceiling, ask.mono)
	elseif limit.kind == TOKENS_MINUTE then
		return bucket_left(meter(limit.subject), TOKENS_USED, limit.ceiling, ask.mono)
	elseif limit.kind == REQUESTS_HOUR then
		return hour_left(meter(limit.subject), limit.ceiling, ask.mono)
	elseif limit.kind == CONCURRENT then
		return math.max(limit.ceiling - meter(limit.subject)[AT_ONCE], 0), 0
	end
	local a = account(limit.subject)
	local left = add(unspent(a, limit, ask.wall), -add(a[RESERVED], reserved_now))
	return math.max(left, 0), window_end_ms(limit.kind, ask.wall)
end

-- reserve TIME HOLD TTL_MS MICROUSD TOKENS {SUBJECT KIND CEILING}…; an empty hold only looks.
-- Answers refused (0, 1), which limit, its wait, and for each limit what is left and the time
-- until all is; -1 for never.
local function reserve()
	local ask = { microusd = tonumber(ARGV[5]), tokens = tonumber(ARGV[6]) }
	local id, ttl, limits, holds = ARGV[3], tonumber(ARGV[4]), {}, {}
	local refused, which, longest = 0, 0, 0
	ask.wall, ask.mono = times(ARGV[2])
	for i = 7, #ARGV, 3 do
		limits[#limits + 1] = { subject = ARGV[i], kind = tonumber(ARGV[i + 1]),
			ceiling = tonumber(ARGV[i + 2]) }
	end
	-- The answer to the first call was lost: this is the second.
	local takes = id ~= '' and not call('HGET', root .. 'leases', id)
	for i, limit in ipairs(takes and limits or {}) do
		local wait = take(limit, ask, holds)
		if wait >= 0 and (refused == 0 or wait > longest) then
			refused, which, longest = 1, i - 1, wait
		end
	end
	-- A refusal took nothing: what is left is told from what is there, not from the copies.
	if refused == 1 then
		accounts, meters = {}, {}
	end
	local out = { refused, which, longest == NEVER and -1 or longest }
	for _, limit in ipairs(limits) do
		local left, reset = look(limit, ask, takes and refused == 0 and ask.microusd or 0)
		out[#out + 1] = left
		out[#out + 1] = reset == NEVER and -1 or reset
	end
	if not takes or refused == 1 then
		return out
	end
	check_kind('deadlines', 'zset')
	local lease = { string.format('%.0f %.0f %.0f', ask.mono + ttl, ask.microusd, ask.tokens) }
	for subject, what in pairs(holds) do
		lease[#lease + 1] = what .. subject
		if what % 2 == MONEY then
			local a = account(subject)
			a[RESERVED], a[HOLDS], a.changed = a[RESERVED] + ask.microusd, a[HOLDS] + 1, true
		end
	end
	call('HSET', root .. 'leases', id, table.concat(lease, ' '))
	call('ZADD', root .. 'deadlines', ask.mono + ttl, id)
	save(ttl > 0 and ttl or 0)
	return out
end
