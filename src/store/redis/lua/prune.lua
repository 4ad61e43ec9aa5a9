-- KEYS: the owner's index, a key that is never there. ARGV: the score and the member of the place
-- behind which to look, the youngest first. Takes out the places of sessions that have expired, and
-- returns the place to go on from, and how many it has taken out.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place.
local siblings = string.sub(KEYS[2], 1, -2) .. 's:'
return {visit(KEYS[1], ARGV[1], ARGV[2], function(member)
  return call('EXISTS', siblings .. member) == 0 and 'dead'
end)}
