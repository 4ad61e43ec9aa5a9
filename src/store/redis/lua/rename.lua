-- KEYS: the record, its new key, a key that is never there. ARGV: whether the person has just
-- authenticated.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place: the owners' indexes need not be named.
local from, to = KEYS[1], KEYS[2]
local record, now, seen, idle, deadline, index = read(from, true, true)
if not record then
  return now
end
local taken, answer = read(to, true)
if taken then
  return 0
end
if answer then
  return answer
end

local created, authenticated, absolute = struct.unpack('>I8I8I8', record, 10)
if ARGV[1] ~= '' then
  authenticated = now
  deadline = absolute > 0 and now + absolute or 0
end
seen = math.max(seen, now)
local ends = ending(seen, idle, deadline)
local version = struct.pack('>I8', struct.unpack('>I8', record, 2) + 1)
local renamed = table.concat({
  string.sub(record, 1, 1), version,
  struct.pack('>I8I8I8I8I8I8', created, authenticated, absolute, idle, deadline, seen),
  string.sub(record, 58)
})
call('SET', to, renamed, 'PXAT', ends - 1)
call('UNLINK', from)
if index then
  call('ZREM', index, string.sub(from, -43))
  call('ZADD', index, created, string.sub(to, -43))
  extend(index, ends)
end
local owner, label = string.byte(record, 58, 59)
return struct.pack('>I8I8', now, seen) .. string.sub(renamed, 1, 59 + owner + label)
