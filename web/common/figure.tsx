/** A figure in a list of figures, with its name and a note. */
export function Figure({ name, value, note }: { name: string; value: string | undefined; note: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={value === undefined ? 'none' : ''}>{value ?? '–'}</dd>
      <dd class="note">{note}</dd>
    </div>
  );
}
