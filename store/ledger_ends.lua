-- store/ledger_ends.lua - begins with ledger.lua. How a reservation ends.

-- Gives back what it holds, in memory; false when it has ended before.
local function end_lease(hold, tokens)
	local raw = call('HGET', root .. 'leases', hold)
	if not raw then
		return false
	end
	check_kind('deadlines', 'zset')
	local microusd, taken, rest = string.match(raw, '^%d+ (%d+) (%d+)(.*)$')
	if not microusd then
		error(root .. 'leases: a reservation is not what the ledger wrote', 0)
	end
	for what, subject in string.gmatch(rest, ' (%d)(%x+)') do
		what = tonumber(what)
		if what % 2 == 1 then
			local a = account(subject)
			a.reserved, a.holds, a.changed = a.reserved - microusd, a.holds - 1, true
		end
		local m = what > 1 and meter(subject)
		if m and m.exists then
			if what % 4 > 1 then
				m.tokens_used = math.max(add(m.tokens_used, (tokens - taken) * 60000), 0)
			end
			if what > 3 and m.running > 0 then
				m.running = m.running - 1
			end
			m.changed = true
		end
	end
	return true
end

local function forget_lease(hold)
	call('HDEL', root .. 'leases', hold)
	call('ZREM', root .. 'deadlines', hold)
end
