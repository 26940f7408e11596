// file.h: the file connector: JSON lines that count once they are on the disk. The relay knows it by this one name.
#ifndef CONNECTORS_FILE_FILE_H
#define CONNECTORS_FILE_FILE_H

#include "relay/connector.h"

extern const struct connector_impl file_connector;

#endif
