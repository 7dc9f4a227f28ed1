/**
 * What the directory does in the Redis, in Lua. Of one tenant, all under one hash slot, with `base` before each:
 *
 *   base:holders        hash: node -> number            base:last     the greatest of these numbers
 *   base:b:<bucket>     hash: name (16 bytes) -> (number u16, tier u8) of each holder, little-endian
 *   base:d:<number>     256 times (count, sum, sum) u32, as `NameTable.digest` has them        base:entries   pairs
 */
import { redisScript } from '../store/redis-client.ts'

/** The digest of a holder, kept in step by name: what a name adds to its bucket. */
const COMMON = `
local base = KEYS[1]
local WORD = 4294967296
local function numberOf(node)
  local known = redis.call('HGET', base .. ':holders', node)
  if known then return tonumber(known), false end
  local number = redis.call('INCR', base .. ':last')
  redis.call('HSET', base .. ':holders', node, number)
  return number, true
end
local function digestOf(number)
  local text = redis.call('GET', base .. ':d:' .. number)
  if not text then text = string.rep('\\0', 3072) end
  return text
end
local function find(value, number)
  for at = 1, #value, 3 do
    if struct.unpack('<I2', value, at) == number then return at end
  end
  return nil
end
local function bump(sums, bucket, name, sign)
  local sum = sums[bucket]
  if not sum then sum = {0, 0, 0}; sums[bucket] = sum end
  local a, b = struct.unpack('<I4I4', name, 9)
  sum[1] = sum[1] + sign; sum[2] = sum[2] + sign * a; sum[3] = sum[3] + sign * b
end
local function writeDigest(number, sums)
  local text = digestOf(number)
  local key = base .. ':d:' .. number
  redis.call('SET', key, text)
  for bucket, sum in pairs(sums) do
    local at = bucket * 12
    local x, y, z = struct.unpack('<I4I4I4', text, at + 1)
    redis.call('SETRANGE', key, at, struct.pack('<I4I4I4', (x + sum[1]) % WORD, (y + sum[2]) % WORD, (z + sum[3]) % WORD))
  end
end
local function change(number, value, names, entriesMax)
  local sums, refused, pairsChanged = {}, 0, 0
  local entries = tonumber(redis.call('GET', base .. ':entries') or '0')
  for at = 1, #names, 16 do
    local name = string.sub(names, at, at + 15)
    local bucket = string.byte(name)
    local key = base .. ':b:' .. bucket
    local known = redis.call('HGET', key, name)
    local place = known and find(known, number)
    if value == 0 then
      if place then
        local rest = string.sub(known, 1, place - 1) .. string.sub(known, place + 3)
        if #rest == 0 then redis.call('HDEL', key, name) else redis.call('HSET', key, name, rest) end
        bump(sums, bucket, name, -1); pairsChanged = pairsChanged - 1
      end
    elseif place then
      local put = string.sub(known, 1, place + 1) .. string.char(value) .. string.sub(known, place + 3)
      if put ~= known then redis.call('HSET', key, name, put) end
    elseif entries + pairsChanged >= entriesMax then refused = refused + 1
    else
      redis.call('HSET', key, name, (known or '') .. struct.pack('<I2', number) .. string.char(value))
      bump(sums, bucket, name, 1); pairsChanged = pairsChanged + 1
    end
  end
  if pairsChanged ~= 0 then redis.call('INCRBY', base .. ':entries', pairsChanged) end
  if next(sums) ~= nil then writeDigest(number, sums) end
  return refused, pairsChanged
end
`

/** ARGV: node, entriesMax, then pairs of a value (0: no more) and names. Gives whether the node was new, and how many were refused. */
export const CHANGE_SCRIPT = redisScript(`${COMMON}
local number, isNew = numberOf(ARGV[1])
local refused = 0
for at = 3, #ARGV, 2 do
  refused = refused + change(number, tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[2]))
end
return {isNew and 1 or 0, refused}
`)

/** ARGV: names. Gives all holders with their numbers, and (index u32, length u16, value) of each name that anybody holds. */
export const LOCATE_SCRIPT = redisScript(`
local base, names = KEYS[1], ARGV[1]
local groups, places = {}, {}
for index = 0, #names / 16 - 1 do
  local name = string.sub(names, index * 16 + 1, index * 16 + 16)
  local bucket = string.byte(name)
  local group = groups[bucket]
  if not group then group = {}; groups[bucket] = group; places[bucket] = {} end
  group[#group + 1] = name
  places[bucket][#group] = index
end
local out = {}
for bucket, group in pairs(groups) do
  for from = 1, #group, 4000 do
    local values = redis.call('HMGET', base .. ':b:' .. bucket, unpack(group, from, math.min(from + 3999, #group)))
    for at = 1, #values do
      local value = values[at]
      if value then out[#out + 1] = struct.pack('<I4I2', places[bucket][from + at - 1], #value) .. value end
    end
  end
end
return {redis.call('HGETALL', base .. ':holders'), table.concat(out)}
`)

/** ARGV: node. Gives its digest, or nothing for one that is not known. */
export const DIGEST_SCRIPT = redisScript(`
local base = KEYS[1]
local number = redis.call('HGET', base .. ':holders', ARGV[1])
if not number then return false end
return redis.call('GET', base .. ':d:' .. number)
`)

/** ARGV: node, bucket, value, names, entriesMax. Gives how many were missing, and how many too many. */
export const REPLACE_SCRIPT = redisScript(`${COMMON}
local number = numberOf(ARGV[1])
local wanted = {}
for at = 1, #ARGV[4], 16 do wanted[string.sub(ARGV[4], at, at + 15)] = true end
local all = redis.call('HGETALL', base .. ':b:' .. ARGV[2])
local lost = {}
for at = 1, #all, 2 do
  if find(all[at + 1], number) and not wanted[all[at]] then lost[#lost + 1] = all[at] end
end
local _, removed = change(number, 0, table.concat(lost), 0)
local refused, added = change(number, tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]))
return {added, -removed, refused}
`)

/** ARGV: node. Takes a holder out whose names were all replaced by none. */
export const FORGET_SCRIPT = redisScript(`
local base = KEYS[1]
local number = redis.call('HGET', base .. ':holders', ARGV[1])
if not number then return 0 end
redis.call('DEL', base .. ':d:' .. number)
return redis.call('HDEL', base .. ':holders', ARGV[1])
`)

/** All tenants of a cluster. */
export const TENANTS_SCRIPT = redisScript(`return redis.call('SMEMBERS', KEYS[1])`)

/** ARGV: a tenant. */
export const NAME_TENANT_SCRIPT = redisScript(`return redis.call('SADD', KEYS[1], ARGV[1])`)
