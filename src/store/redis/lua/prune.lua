-- KEYS: the owner's index, a key that is never there. ARGV: the time from which on to look at the
-- places, the youngest first. Takes out those of sessions that have expired.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place.
local siblings = string.sub(KEYS[2], 1, -2) .. 's:'
local place, pruned = visit(KEYS[1], ARGV[1], function(member)
  return call('EXISTS', siblings .. member) == 0 and 'dead'
end)
return {place, pruned}
