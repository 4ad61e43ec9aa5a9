-- KEYS: the record, [its owner's index].
-- ARGV: the version; absolute and idle timeout; from the proof to the sealed secret, as the record has
-- it; the data; whether the person has just authenticated; the limit, or nothing; whether it evicts;
-- whether the expired sessions have been taken out of a large index.
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
local absolute, idle = struct.unpack('>I8I8', ARGV[2])
local deadline = absolute > 0 and now + absolute or 0
local ends = ending(now, idle, deadline)

local siblings = string.sub(key, 1, -KEY_LEN - 1)
local dead, evicted, is_room = {}, {}, true
if index then
  local limit = tonumber(ARGV[6])
  local places = limit and call('ZCARD', index) or 0
  if limit and places >= limit then
    -- More than a thousand records in one call would hold up the calls of others.
    local is_large = places > 1000
    if is_large and ARGV[8] == '' then
      return 2
    end
    local last, live = is_large and math.min(places - limit, 999) or -1, {}
    for _, sibling in ipairs(call('ZRANGE', index, 0, last)) do
      local is_live = call('EXISTS', siblings .. sibling) == 1
      table.insert(is_live and live or dead, sibling)
    end
    local surplus = places - #dead - limit + 1
    if surplus > 0 and ARGV[7] == '' then
      return 1
    end
    for i = 1, math.min(surplus, #live) do
      evicted[i] = live[i]
    end
    is_room = surplus <= #live
  else
    -- Expired sessions leave their places in the index. Each insert looks at four places: in the long
    -- run, the dead ones are at most a third as many as the live ones.
    for _, sibling in ipairs(call('ZRANDMEMBER', index, 4)) do
      if call('EXISTS', siblings .. sibling) == 0 then
        table.insert(dead, sibling)
      end
    end
  end
end

-- The first write is the one that a server whose memory is full refuses: nothing has changed then.
if is_room then
  local authenticated = ARGV[5] ~= '' and now or 0
  write(key, {
    ARGV[1], struct.pack('>I8I8', now, authenticated), ARGV[2], struct.pack('>I8I8', deadline, now),
    ARGV[3], ARGV[4]
  }, ends)
end
for _, sibling in ipairs(evicted) do
  call('ZREM', index, sibling)
  call('UNLINK', siblings .. sibling)
end
for _, sibling in ipairs(dead) do
  call('ZREM', index, sibling)
end
if index and is_room then
  call('ZADD', index, now, string.sub(key, -KEY_LEN))
  extend(index, ends)
end
return {is_room and 1 or 0, evicted}
