import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

/** A modal dialog. @param title ID of the dialog's heading element */
export function Modal(props: { title: string; isOpen: boolean; onClose: () => void; children: ComponentChildren }) {
  const { title, isOpen, onClose, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog ref={dialog} aria-labelledby={title} onClose={onClose}>
      {isOpen && children}
    </dialog>
  );
}
