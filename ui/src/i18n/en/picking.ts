//! Words of the dialog that chooses files on the computer that runs the server.

export const picking = {
  titles: { model_file: "Choose a file", model_folder: "Choose a folder", save: "Save on the server" },
  body: "You see folders of the computer that runs Huacaya.",
  place: "Place",
  top: "Folders",
  up: "Up one folder",
  find: "Find in this folder",
  name: "File name",
  entries: "Files and folders",
  folder: "folder",
  empty: "This folder is empty.",
  noneOf: (endings: string) => `No files of the kind ${endings} here.`,
  nothing: "Nothing here has these letters in its name.",
  more: "There is more in this folder than is listed.",
  taken: (name: string) => `“${name}” is there already.`,
  choose: "Choose",
  chooseFolder: (name: string) => `Choose “${name}”`,
  save: "Save",
  replace: "Replace it",
};
