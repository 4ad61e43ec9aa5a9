-- KEYS: the owner's index, a key that is never there. ARGV: how many sessions.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place.
local index, limit = KEYS[1], tonumber(ARGV[1])
local siblings = string.sub(KEYS[2], 1, -2) .. 's:'
local found, from = {}, 0
while #found < limit do
  local members = call('ZRANGE', index, from, from + 99, 'REV')
  if #members == 0 then
    break
  end
  for _, member in ipairs(members) do
    local record, now, seen = read(siblings .. member, true)
    if record then
      local owner, label = string.byte(record, 58, 59)
      local meta = string.sub(record, 1, 59 + owner + label)
      table.insert(found, {member, struct.pack('>I8I8', now, seen) .. meta})
      from = from + 1
      if #found == limit then
        break
      end
    elseif now then
      return {{member, now}}
    else
      call('ZREM', index, member)
    end
  end
end
return found
