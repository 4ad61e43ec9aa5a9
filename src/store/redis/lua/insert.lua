-- KEYS: the record, [its owner's index].
-- ARGV: absolute and idle timeout; owner and label with their lengths; the data; whether the person
-- has just authenticated; the limit, or nothing; whether it evicts; whether the expired sessions have
-- been taken out of a large index; the version.
--
-- Returns 0: the key is taken; 1: the owner is full; 2: take the expired sessions out of the index and
-- call again; or else whether the record was written, and which sessions went. It was not when more
-- than a thousand have to go: call again.
local key, index = KEYS[1], KEYS[2]
local taken, answer = read(key, true)
if taken then
  return 0
end
if answer then
  return answer
end

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local absolute, idle = struct.unpack('>I8I8', ARGV[1])
local deadline = absolute > 0 and now + absolute or 0
local ends = ending(now, idle, deadline)

local member, siblings = string.sub(key, -43), string.sub(key, 1, -44)
local dead, evicted, is_room = {}, {}, true
if index then
  local limit = tonumber(ARGV[5])
  local places = limit and call('ZCARD', index) or 0
  if limit and places >= limit then
    -- More than a thousand records in one call would hold up the calls of others.
    local is_large = places > 1000
    if is_large and ARGV[7] == '' then
      return 2
    end
    local last, live = is_large and math.min(places - limit, 999) or -1, {}
    for _, sibling in ipairs(call('ZRANGE', index, 0, last)) do
      local is_live = call('EXISTS', siblings .. sibling) == 1
      table.insert(is_live and live or dead, sibling)
    end
    local surplus = places - #dead - limit + 1
    if surplus > 0 and ARGV[6] == '' then
      return 1
    end
    for i = 1, math.min(surplus, #live) do
      evicted[i] = live[i]
    end
    is_room = surplus <= #live
  else
    -- Sessions that expired leave their names in the index. With each one that comes, four are
    -- looked at: in the long run, no more lie about than a third of those that live.
    for _, sibling in ipairs(call('ZRANDMEMBER', index, 4)) do
      if call('EXISTS', siblings .. sibling) == 0 then
        table.insert(dead, sibling)
      end
    end
  end
end

-- The first write is the one that a server whose memory is full refuses: nothing has changed then.
local authenticated = ARGV[4] ~= '' and now or 0
local head = string.char(1) .. ARGV[8] .. struct.pack('>I8I8', now, authenticated)
local times = struct.pack('>I8I8', deadline, now)
if is_room then
  call('SET', key, head .. ARGV[1] .. times .. ARGV[2] .. ARGV[3], 'PXAT', ends - 1)
end
for _, sibling in ipairs(evicted) do
  call('ZREM', index, sibling)
  call('UNLINK', siblings .. sibling)
end
for _, sibling in ipairs(dead) do
  call('ZREM', index, sibling)
end
if index and is_room then
  call('ZADD', index, now, member)
  extend(index, ends)
end
return {is_room and 1 or 0, evicted}
