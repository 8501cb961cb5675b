/** Sums of money as decimal strings, exactly as Python's `Decimal` with its default context (28 digits, half even) makes them. */

const PRECISION = 28;

/** @param {string} text @returns {{digits: bigint, exponent: number}} */
function parse(text) {
  const match = /^\s*([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*$/.exec(text);
  if (!match || !(match[2] || match[3])) throw new TypeError(`not a decimal: ${text}`);
  const [, sign, whole, part = "", power = "0"] = match;
  const digits = BigInt(`${whole}${part}`);
  return { digits: sign === "-" ? -digits : digits, exponent: Number(power) - part.length };
}

/** @param {bigint} digits @param {number} exponent */
function round(digits, exponent) {
  let size = digits < 0n ? -digits : digits;
  const over = size.toString().length - PRECISION;
  if (over <= 0) return { digits, exponent };
  const unit = 10n ** BigInt(over);
  const rest = size % unit;
  size /= unit;
  if (rest * 2n > unit || (rest * 2n === unit && size % 2n === 1n)) size += 1n;
  // 999… + 1 makes one digit more, which is a zero: the value is the same.
  return { digits: digits < 0n ? -size : size, exponent: exponent + over };
}

/** @param {bigint} digits @param {number} exponent */
function format(digits, exponent) {
  const sign = digits < 0n ? "-" : "";
  let text = (digits < 0n ? -digits : digits).toString();
  if (exponent >= 0) return digits === 0n ? "0" : sign + text + "0".repeat(exponent);
  text = text.padStart(1 - exponent, "0");
  const point = text.length + exponent;
  const part = text.slice(point).replace(/0+$/, "");
  return sign + text.slice(0, point) + (part ? `.${part}` : "");
}

/**
 * @param {string} left
 * @param {string} right
 * @returns {string} without trailing zeros and without an exponent
 */
export function addDecimals(left, right) {
  const a = parse(left);
  const b = parse(right);
  const exponent = Math.min(a.exponent, b.exponent);
  const digits = a.digits * 10n ** BigInt(a.exponent - exponent) + b.digits * 10n ** BigInt(b.exponent - exponent);
  const sum = round(digits, exponent);
  return format(sum.digits, sum.exponent);
}
