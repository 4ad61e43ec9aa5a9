-- Whether a member of an index comes before another. Lua's own order is that of the server's locale.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = string.byte(one, at), string.byte(other, at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Shows the places in an owner's index to `look`, the youngest first, from behind the place of this
-- score and member on. Places for which it answers `dead` are taken out; at `stop` it has seen enough.
--
-- More than a thousand would hold up the calls of others. Returns the score and the member of the last
-- place that it has shown, to go on from there; at the end, empty texts. Returns as well how many
-- places it has taken out.
local function visit(index, score, member, look)
  local first, behind = score, member
  local dead, offset, looked, is_over = {}, 0, 0, false
  repeat
    local places = call(
      'ZRANGE', index, first, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, 100, 'WITHSCORES')
    local is_end = #places < 200
    for i = 1, #places, 2 do
      -- Of one score, the greatest member is the first.
      if places[i + 1] ~= first or precedes(places[i], behind) then
        member, score, looked = places[i], places[i + 1], looked + 1
        local verdict = look(member)
        if verdict == 'dead' then
          table.insert(dead, member)
        end
        if verdict == 'stop' or looked == 1000 then
          is_over, is_end = true, is_end and i == #places - 1
          break
        end
      end
    end
    offset = offset + 100
    if is_end then
      is_over, score, member = true, '', ''
    end
  until is_over
  if #dead > 0 then
    call('ZREM', index, unpack(dead))
  end
  return score, member, #dead
end
