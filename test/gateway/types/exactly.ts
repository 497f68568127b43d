type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/**
 * Compiles only where a value has exactly this type: neither a narrower or wider one nor `any`.
 *
 * @example
 * exactly<string>()('text' as string);
 */
export function exactly<Expected>() {
  return <Actual>(
    _value: Actual,
    ..._wrong: Same<Actual, Expected> extends true ? [] : ['the value has another type', Actual]
  ): void => {};
}

/** Compiles only where a value of the first type can be given for the second. */
export function given<Expected>(_value: Expected): void {}
