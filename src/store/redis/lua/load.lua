-- KEYS: the record, [its owner's index].
-- ARGV: the touch interval in milliseconds, or nothing for no touch; whether without the data.
local key = KEYS[1]
local record, now, seen, idle, deadline, index = read(key, KEYS[2], ARGV[2] == '')
if not record then
  return now
end
if idle > 0 and ARGV[1] ~= '' and now - seen >= math.min(ARGV[1], idle / 10) then
  seen = now
  local ends = ending(now, idle, deadline)
  if ends == deadline then
    -- The expiry cannot move past the deadline, so the record itself tells of this touch. A server
    -- whose memory is full refuses that, and the session lives on all the same.
    local answer = redis.pcall('SETRANGE', key, 49, struct.pack('>I8', now))
    if type(answer) == 'table' and answer.err and not string.find(answer.err, 'OOM', 1, true) then
      return answer
    end
  end
  call('PEXPIREAT', key, ends - 1)
  if index then
    extend(index, ends)
  end
end
if ARGV[2] ~= '' then
  local owner, label = string.byte(record, 58, 59)
  record = string.sub(record, 1, 59 + owner + label)
end
return struct.pack('>I8I8', now, seen) .. record
