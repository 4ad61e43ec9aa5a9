local call = redis.call

-- Shows the places in an owner's index to `look`, the youngest first, from a time on. Places for
-- which it answers `dead` are taken out; at `stop` it has seen enough.
--
-- More than a thousand would hold up the calls of others. After those it returns the time to go on
-- from, which shows the last place again, with all others of the same millisecond; at the end, an
-- empty text. Returns as well how many places it has taken out.
local function visit(index, from, look)
  local dead, looked, last, place = {}, 0, from, ''
  repeat
    local places = call(
      'ZRANGE', index, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', looked, 100, 'WITHSCORES')
    local is_over = #places < 200
    for i = 1, #places, 2 do
      local verdict = look(places[i])
      if verdict == 'dead' then
        table.insert(dead, places[i])
      elseif verdict == 'stop' then
        is_over = true
        break
      end
      last = places[i + 1]
    end
    looked = looked + 100
    if not is_over and looked >= 1000 and last ~= from then
      place, is_over = last, true
    end
  until is_over
  if #dead > 0 then
    call('ZREM', index, unpack(dead))
  end
  return place, #dead
end
