-- store/ledger_admit.lua - begins with ledger.lua. Does a request fit into all of its limits?
--
-- ARGV: TIME HOLD TTL_MS MICROUSD TOKENS {SUBJECT KIND CEILING}…; an empty hold only looks.
-- Answers refused (0, 1), which limit, its wait, and for each limit what is left and the time
-- until all is; -1 for never.

local NEVER, UNIT = MAX + 1, 60000
local KINDS = { ['0'] = 'balance', ['1'] = 'day', ['2'] = 'month', ['3'] = 'total',
	['4'] = 'requests', ['5'] = 'tokens', ['6'] = 'hour', ['7'] = 'running' }
local hold, ttl = ARGV[2], tonumber(ARGV[3])
local microusd, tokens = tonumber(ARGV[4]), tonumber(ARGV[5])
local wall, mono = times(ARGV[1])
local holds = {} -- subject -> what is held for it: money, tokens, running

-- ---- a minute's bucket ----

local function used_now(m, unit, per_minute)
	local used, at = m[unit .. '_used'], m[unit .. '_at']
	local elapsed = mono > at and mono - at or 0
	if elapsed > floor(used / per_minute) then
		return 0, at
	end
	return used - elapsed * per_minute, at
end

-- 0 if taken, else the wait.
local function take_bucket(m, unit, per_minute, n)
	if n == 0 then
		return 0
	elseif n > per_minute then
		return NEVER
	end
	local used, at = used_now(m, unit, per_minute)
	local over = used - (per_minute - n) * UNIT
	if over > 0 then
		return floor((over - 1) / per_minute) + 1 + (at > mono and at - mono or 0)
	end
	m[unit .. '_used'] = used + n * UNIT
	if mono > at then
		m[unit .. '_at'] = mono
	end
	return 0
end

local function bucket_left(m, unit, per_minute)
	if per_minute <= 0 then
		return 0, 0
	end
	local used = used_now(m, unit, per_minute)
	local full = floor((used + per_minute - 1) / per_minute)
	return math.max(floor((per_minute * UNIT - used) / UNIT), 0), full
end

-- ---- an hour's 16 pieces of 4 minutes ----

-- Brings them up to now; returns their sum.
local function roll(m)
	local piece, sum = floor(mono / 240000), 0
	local hour = m.hour or { struct.unpack('<HHHHHHHHHHHHHHHH', m.pieces) }
	m.hour = hour
	if piece - m.hour_piece > 16 then
		m.hour_piece = piece - 16
	end
	while m.hour_piece < piece do
		m.hour_piece = m.hour_piece + 1
		hour[1 + m.hour_piece % 16] = 0
	end
	for i = 1, 16 do
		sum = sum + hour[i]
	end
	return sum
end

-- When so many have been forgotten that the sum is at most target.
local function hour_wait(m, sum, target)
	for piece = m.hour_piece - 15, m.hour_piece do
		if piece >= 0 then
			sum = sum - m.hour[1 + piece % 16]
			if sum <= target then
				return (piece + 16) * 240000 - mono
			end
		end
	end
	return NEVER
end

-- ---- days and months ----

local function month_of()
	local days = floor(wall / 86400000) + 719468
	local of_era = days % 146097
	local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524)
		- floor(of_era / 146096)) / 365)
	local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
	return (floor(days / 146097) * 400 + year) * 12 + floor((5 * of_year + 2) / 153) + 2
end

local function window_end_ms(kind)
	if kind == 'day' then
		return (floor(wall / 86400000) + 1) * 86400000 - wall
	elseif kind ~= 'month' then
		return NEVER
	end
	local month = month_of() + 1
	local march_month = (month + 10) % 12
	local year = (month - 2 - march_month) / 12
	local of_era = year % 400
	local days = floor(year / 400) * 146097 + of_era * 365 + floor(of_era / 4)
		- floor(of_era / 100) + floor((153 * march_month + 2) / 5)
	return (days - 719468) * 86400000 - wall
end

local function spent_in(a, kind, window)
	local latest = a[kind]
	if window == latest then
		return a[kind .. '_spent']
	elseif window == latest - 1 then
		return a[kind .. '_before']
	elseif window > latest then
		return 0
	end
	return math.max(a[kind .. '_spent'], a[kind .. '_before'])
end

-- ---- the decision ----

local function unspent(a, kind, ceiling)
	if kind == 'balance' then
		return add(add(a.credited, -a.charged), ceiling)
	elseif kind == 'day' then
		return add(ceiling, -spent_in(a, 'day', floor(wall / 86400000)))
	elseif kind == 'month' then
		return add(ceiling, -spent_in(a, 'month', month_of()))
	end
	return add(ceiling, -a.spent)
end

-- -1 when it fits, else when it will.
local function money_wait(a, kind, ceiling)
	local left = unspent(a, kind, ceiling)
	if microusd <= add(left, -a.reserved) then
		return -1
	elseif microusd <= left then
		return 0
	elseif kind ~= 'balance' and microusd > ceiling then
		return NEVER
	end
	return window_end_ms(kind)
end

-- The same, and takes it.
local function take(subject, kind, ceiling)
	local held = holds[subject] or {}
	holds[subject] = held
	if kind == 'balance' or kind == 'day' or kind == 'month' or kind == 'total' then
		local wait = money_wait(account(subject), kind, ceiling)
		held.money = held.money or wait < 0
		return wait
	end
	local m, wait = meter(subject), 0
	if kind == 'requests' then
		wait = take_bucket(m, kind, ceiling, 1)
	elseif kind == 'tokens' then
		wait = take_bucket(m, kind, ceiling, tokens)
		held.tokens = held.tokens or wait == 0
	elseif kind == 'hour' then
		if ceiling <= 0 then
			return NEVER
		end
		local sum = roll(m)
		if sum >= ceiling then
			return hour_wait(m, sum, ceiling - 1)
		end
		local at = 1 + m.hour_piece % 16
		m.hour[at] = m.hour[at] + 1
	elseif m.running >= ceiling then
		return ceiling > 0 and 0 or NEVER
	elseif not held.running then -- once, however many limits there are on it
		held.running = true
		m.running = m.running + 1
	end
	if wait ~= 0 then
		return wait
	end
	m.changed = true
	return -1
end

local function look(subject, kind, ceiling, reserved_now)
	if kind == 'requests' or kind == 'tokens' then
		return bucket_left(meter(subject), kind, ceiling)
	elseif kind == 'hour' then
		local m = meter(subject)
		local sum = roll(m)
		return math.max(ceiling - sum, 0), sum > 0 and hour_wait(m, sum, 0) or 0
	elseif kind == 'running' then
		return math.max(ceiling - meter(subject).running, 0), 0
	end
	local a = account(subject)
	local left = add(unspent(a, kind, ceiling), -add(a.reserved, reserved_now))
	return math.max(left, 0), window_end_ms(kind)
end

-- A hold that is there: the answer to the first call was lost, and this is the second.
local takes = hold ~= '' and not call('HGET', root .. 'leases', hold)
local which, longest = 0, -1
for i = 6, takes and #ARGV or 0, 3 do
	local wait = take(ARGV[i], KINDS[ARGV[i + 1]], tonumber(ARGV[i + 2]))
	if wait > longest then
		which, longest = (i - 6) / 3, wait
	end
end
-- A refusal took nothing: what is left is told from what is there, not from the copies.
local refused = longest >= 0
if refused then
	accounts, meters = {}, {}
end
local out = { refused and 1 or 0, which, longest == NEVER and -1 or longest }
for i = 6, #ARGV, 3 do
	local left, reset = look(ARGV[i], KINDS[ARGV[i + 1]], tonumber(ARGV[i + 2]),
		takes and not refused and microusd or 0)
	out[#out + 1] = left
	out[#out + 1] = reset == NEVER and -1 or reset
end
if not takes or refused then
	return out
end

check_kind('deadlines', 'zset')
local lease = string.format('%.0f %.0f %.0f', mono + ttl, microusd, tokens)
for subject, held in pairs(holds) do
	local what = (held.money and 1 or 0) + (held.tokens and 2 or 0) + (held.running and 4 or 0)
	if what > 0 then
		lease = lease .. ' ' .. what .. subject
	end
	if held.money then
		local a = account(subject)
		a.reserved, a.holds, a.changed = a.reserved + microusd, a.holds + 1, true
	end
end
call('HSET', root .. 'leases', hold, lease)
call('ZADD', root .. 'deadlines', mono + ttl, hold)
save(ttl > 0 and ttl or 0)
return out
