// Pages that are opened from a file may not start workers, and the search of this site is one. There, a Worker is a
// hidden frame that runs the same script: messages are handed over as copies, and later, as a worker does.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    onmessage = null;
    onerror = null;
    #frame = document.createElement("iframe");
    #waiting = [];

    constructor(url) {
      super();
      this.addEventListener("message", (event) => this.onmessage?.(event));
      this.addEventListener("error", (event) => this.onerror?.(event));
      this.#frame.hidden = true;
      this.#frame.addEventListener("load", () => this.#run(new URL(url, document.baseURI).href), { once: true });
      document.body.append(this.#frame);
    }

    #run(url) {
      const inside = this.#frame.contentWindow;
      inside.postMessage = (data) => this.#later(() => this.dispatchEvent(new MessageEvent("message", { data })));
      const script = inside.document.createElement("script");
      script.addEventListener("load", () => {
        const waiting = this.#waiting;
        this.#waiting = null;
        waiting.forEach((data) => this.postMessage(data));
      });
      script.addEventListener("error", () => this.dispatchEvent(new ErrorEvent("error", { message: `no script ${url}` })));
      script.src = url;
      inside.document.head.append(script);
    }

    #later(action) {
      setTimeout(() => this.#frame.isConnected && action());
    }

    postMessage(message) {
      const data = structuredClone(message);
      if (this.#waiting) {
        this.#waiting.push(data);
        return;
      }
      const inside = this.#frame.contentWindow;
      this.#later(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }

    terminate() {
      this.#frame.remove();
    }
  };
}
