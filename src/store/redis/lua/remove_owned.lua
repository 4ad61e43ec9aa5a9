-- KEYS: the owner's index, a key that is never there. ARGV: the session to keep, or nothing.
--
-- The key that is never there keeps a Cluster that is moving the slot from running this before all
-- of it is in one place.
local index, kept = KEYS[1], ARGV[1]
local siblings = string.sub(KEYS[2], 1, -2) .. 's:'
local score = kept ~= '' and call('ZSCORE', index, kept)
local ends = score and call('PEXPIRETIME', siblings .. kept)
-- Without their places in the index the records are dead already; what follows frees the memory of
-- as many of them as takes no time worth mentioning. The others go when their time is up.
for _, member in ipairs(call('ZRANGE', index, 0, 999)) do
  if member ~= kept then
    call('UNLINK', siblings .. member)
  end
end
call('UNLINK', index)
if ends and ends > 0 then
  call('ZADD', index, score, kept)
  call('PEXPIREAT', index, ends + 1)
end
return 1
