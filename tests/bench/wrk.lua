-- Sends the file BODY_FILE to any path, with the key API_KEY; ends with one line of figures:
-- requests, seconds, p50 and p99 in microseconds, errors.
wrk.method = "POST"
wrk.body = assert(io.open(os.getenv("BODY_FILE"), "rb")):read("*a")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("API_KEY")

-- With UNIQUE no two requests are alike: the first "The quick" of the body gives way to a number.
if os.getenv("UNIQUE") then
	local before, after = wrk.body:match("^(.-)The quick(.*)$")
	local count = 0
	local start = os.time()

	function request()
		count = count + 1
		return wrk.format(nil, nil, nil, string.format("%s%d-%09d%s", before, start, count, after))
	end
end

function done(summary, latency)
	local e = summary.errors
	print(string.format("figures %d %.6f %.1f %.1f %d", summary.requests, summary.duration / 1e6,
		latency:percentile(50), latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout))
end
