-- KEYS: the owner's index, a key that is never there. ARGV: how many sessions; the time from which
-- on, the youngest first.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place.
local index, limit = KEYS[1], tonumber(ARGV[1])
local siblings = string.sub(KEYS[2], 1, -2) .. 's:'
local found, live = {}, 0
local place = visit(index, ARGV[2], function(member)
  local record, now, seen = read(siblings .. member, true)
  if record then
    local owner, label = string.byte(record, 58, 59)
    local meta = string.sub(record, 1, 59 + owner + label)
    table.insert(found, {member, struct.pack('>I8I8', now, seen) .. meta})
    live = live + 1
    return live == limit and 'stop'
  elseif not now then
    return 'dead'
  end
  table.insert(found, {member, now})
end)
return {place, found}
