-- store/ledger.lua - the books of several hosts, in one Redis: what three scripts have in common.
--
--   this + ledger_admit.lua                     decides over all limits of a request
--   this + ledger_ends.lua + ledger_count.lua   counts records, each once
--   this + ledger_ends.lua + ledger_house.lua   all that is not asked with every request
--
-- The arithmetic is that of account.c, meter.c, admit.c and lease.c; tests/unit/ledger_alike.c
-- compares the two. KEYS[1] is what all keys begin with, PREFIX:{PREFIX}: - one slot of a
-- cluster, so that a reservation over key, user and organisation is atomic.
--
--   account:SUBJECT  struct account without its subject
--   meter:SUBJECT    struct meter without subject and spare words
--   leases           hash: struct ledger_hold -> deadline, amounts, what it holds
--   deadlines        sorted set: the same by deadline
--   ids:DAY          hash: id of a request settled that day -> its place in the stream
--   stream           the records themselves, the latest of them
--   credits, names   hashes: once for each id, for good
--   usage:DAY        hash: struct usage_key -> the words of struct usage_row before ttft, and
--                    usage_key + class -> how many requests had this time to first token
--   shipped          hash: store of a host -> how far its journal is known here
--   base:STORE       hash: accounts of a host that had books before, until they are added
--
-- A script is atomic, but an error in its middle would leave its first half. So everything is
-- read and checked before the first write, and nothing is written that could then fail; Redis
-- itself refuses for want of memory, or as a replica, only at the first write of a script.
-- Numbers are doubles: sums stop at 2^53 - 1 instead of wrapping.
--
-- All of a script runs at each call, its definitions too: fields with names instead of local
-- constants, and few functions, halve what that takes.

local root, call, floor = KEYS[1], redis.call, math.floor
local MAX = 9007199254740991
local accounts, meters = {}, {} -- read once, written at the end

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
	local ms = t[1] * 1000 + floor(t[2] / 1000)
	return ms, ms
end

local function bytes_of(key, n)
	local raw = call('GET', key)
	if raw and #raw ~= n then
		error(key .. ' is not what the ledger wrote: it has ' .. #raw .. ' bytes', 0)
	end
	return raw
end

-- Made with all their fields: a table that gets them one by one is built anew four times.
local function words_of(raw)
	local c, h, s, d, ds, db, m, ms, mb, n, f, p, o, r, k =
		struct.unpack('<i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8', raw)
	return { credited = c, charged = h, spent = s, day = d, day_spent = ds, day_before = db,
		month = m, month_spent = ms, month_before = mb, requests = n, failed = f, prompt = p,
		completion = o, reserved = r, holds = k, changed = false }
end

local function account(subject)
	local a = accounts[subject]
	if not a then
		a = words_of(bytes_of(root .. 'account:' .. subject, 120) or string.rep('\0', 120))
		accounts[subject] = a
	end
	return a
end

-- The pieces of the hour stay as they are until they are wanted: m.pieces.
local function meter(subject)
	local m = meters[subject]
	if not m then
		local raw = bytes_of(root .. 'meter:' .. subject, 80)
		local r, ra, t, ta, h, p, n =
			struct.unpack('<i8i8i8i8i8c32i8', raw or string.rep('\0', 80))
		m = { requests_used = r, requests_at = ra, tokens_used = t, tokens_at = ta, hour_piece = h,
			pieces = p, running = n, exists = raw and true, changed = false }
		meters[subject] = m
	end
	return m
end

-- Writes what changed. A meter is forgotten 66 minutes after the last reservation could end.
local function save(ttl_ms)
	for subject, a in pairs(accounts) do
		if a.changed then
			call('SET', root .. 'account:' .. subject,
				struct.pack('<i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8', a.credited, a.charged, a.spent,
					a.day, a.day_spent, a.day_before, a.month, a.month_spent, a.month_before,
					a.requests, a.failed, a.prompt, a.completion, a.reserved, a.holds))
		end
	end
	for subject, m in pairs(meters) do
		if m.changed then
			local key, keep = root .. 'meter:' .. subject, 3960000 + ttl_ms
			local left = m.exists and call('PTTL', key) or 0
			call('SET', key,
				struct.pack('<i8i8i8i8i8', m.requests_used, m.requests_at, m.tokens_used,
					m.tokens_at, m.hour_piece)
					.. (m.hour and struct.pack('<HHHHHHHHHHHHHHHH', unpack(m.hour, 1, 16)) or m.pieces)
					.. struct.pack('<i8', m.running),
				'PX', left > keep and left or keep)
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
