-- KEYS: the owner's index, a key that is never there. ARGV: how many sessions; the score and the
-- member of the place behind which to look, the youngest first; whether with the data.
-- Returns the place to go on from, and the sessions, or what is wrong with them.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place.
local index, limit, with_data = KEYS[1], tonumber(ARGV[1]), ARGV[4] ~= ''
local siblings = string.sub(KEYS[2], 1, -2) .. 's:'
local found, live, size = {}, 0, 0
local score, member = visit(index, ARGV[2], ARGV[3], function(member)
  local record, answer = read(siblings .. member, true, with_data)
  if record then
    live, size = live + 1, size + #record.bytes
    table.insert(found, {member, hand_out(record)})
    -- All other calls wait behind a long answer: a megabyte, and one record, is enough.
    return (live == limit or size > 2 ^ 20) and 'stop'
  elseif not answer then
    return 'dead'
  end
  table.insert(found, {member, answer})
end)
return {score, member, found}
